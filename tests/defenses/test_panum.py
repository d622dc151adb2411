import pytest
import torch

from defenses import DEFENSES

ELEMENTS = ("anchor", "positive", "negative")


@pytest.mark.parametrize("element", ELEMENTS)
def test_one_element_is_perturbed_and_the_others_are_fixed(
    attacked, batch, recorder, rows, hardness_by_loops, element
):
    member = attacked(f"panum[element={element}]")
    images = batch.images[getattr(rows, element)]
    objective = recorder.only_objective(member, images)
    other = torch.rand_like(images)
    embedded = [member(other if name == element else batch.images[getattr(rows, name)]) for name in ELEMENTS]
    assert objective(other).tolist() == pytest.approx(hardness_by_loops(*embedded), abs=1e-5)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("base", ["none", "clean", "adversarial"])
def test_the_loss_by_loops(
    settled, batch, recorder, rows, seeded_loss, expected_loss, triplet_loss_by_loops, element, base
):
    loss = seeded_loss(DEFENSES.build(f"panum[element={element},base={base},weight=3,margin=0.3]"), settled)
    embedded = []
    for name in ELEMENTS:
        images = batch.images[getattr(rows, name)]
        embedded.append(settled(recorder.changed(images) if name == element else images))
    term = triplet_loss_by_loops(*embedded, 0.3)
    assert loss == pytest.approx(expected_loss(settled, embedded, term, base, 3), rel=1e-4)
    assert term > 0.01

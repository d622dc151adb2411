import pytest
import torch

from defenses import DEFENSES


def test_the_attack_pulls_positives_and_negatives_together(attacked, batch, recorder, rows, euclidean):
    member = attacked("act")
    images = torch.cat([batch.images[rows.positive], batch.images[rows.negative]])
    objective = recorder.only_objective(member, images)
    other = torch.rand_like(images)
    expected = [-euclidean(p, n) for p, n in zip(*member(other).chunk(2), strict=True)]
    assert objective(other).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("base", "weight", "margin"), [("none", 10, 0.2), ("clean", 3, 0.5), ("adversarial", 2, 0.3)]
)
def test_the_loss_by_loops(
    settled, batch, recorder, rows, seeded_loss, expected_loss, triplet_loss_by_loops, base, weight, margin
):
    defense = DEFENSES.build(f"act[base={base},weight={weight},margin={margin}]")
    loss = seeded_loss(defense, settled)
    embedded = [
        settled(batch.images[rows.anchor]),
        settled(recorder.changed(batch.images[rows.positive])),
        settled(recorder.changed(batch.images[rows.negative])),
    ]
    term = triplet_loss_by_loops(*embedded, margin)
    assert loss == pytest.approx(expected_loss(settled, embedded, term, base, weight), rel=1e-4)
    assert term > 0.01

import math

import pytest
import torch

from defenses import DEFENSES
from defenses.ca_tride import collapseness


def test_collapseness_is_1_at_one_point_and_0_for_orthogonal_classes():
    one, other = torch.eye(3)[:1].expand(4, 3), torch.eye(3)[1:2].expand(4, 3)
    assert collapseness(one, one) == 1
    assert collapseness(one, other).item() == pytest.approx(0, abs=1e-6)
    assert collapseness(one, -one) == 0
    mixed = torch.cat([one[:2], other[:2]])
    assert collapseness(one, mixed).item() == pytest.approx(0.5)


@pytest.mark.parametrize("turn", [0, 1])
def test_one_target_is_perturbed_in_turn(
    turn, make_member, settle, batch, recorder, rows, euclidean, seeded_loss
):
    defense = DEFENSES.build("ca_tride[base=none,strength=0.7]")
    model = settle(defense.build(make_member, batch.labels)).eval()
    model.get_buffer("steps_done").fill_(turn)
    value = seeded_loss(defense, model)
    assert int(model.get_buffer("steps_done")) == turn + 1
    clean = model(batch.images).detach()
    moved = model(recorder.changed(batch.images)).detach()
    hinges, terms, collapsed = [], [], []
    for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True):
        anchor, positive, negative = (
            (moved[a], clean[p], clean[n]) if turn == 0 else (clean[a], moved[p], moved[n])
        )
        hardness = euclidean(anchor, positive) - euclidean(anchor, negative)
        hinges.append(max(0.0, hardness + 0.2))
        terms.append((hardness, euclidean(positive, negative)))
        collapsed.append(max(0.0, 1 - euclidean(clean[p], clean[n]) / math.sqrt(2)))
    assert value == pytest.approx(sum(hinges) / len(hinges), abs=1e-5)
    c = sum(collapsed) / len(collapsed)
    assert 0 < c < 1
    attacked = (
        batch.images[rows.anchor]
        if turn == 0
        else torch.cat([batch.images[rows.positive], batch.images[rows.negative]])
    )
    objective = recorder.only_objective(model, attacked)
    wanted = [h if turn == 0 else (1 - c) * h + 0.7 * c * d for h, d in terms]
    assert objective(recorder.changed(attacked)).tolist() == pytest.approx(wanted, abs=1e-5)


def test_the_turn_is_part_of_the_checkpoint(make_member, batch, recorder):
    defense = DEFENSES.build("ca_tride")
    model = defense.build(make_member, batch.labels)
    for _ in range(3):
        defense.loss(model, batch, recorder)
    other = defense.build(make_member, batch.labels)
    other.load_state_dict(model.state_dict())
    assert int(other.get_buffer("steps_done")) == 3

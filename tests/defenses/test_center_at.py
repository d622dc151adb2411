import math

import pytest
import torch

from benchmark.core.errors import UsageError
from defenses import DEFENSES, Batch


def test_images_are_pulled_to_the_center_codes_and_attacked_away_from_them(
    make_member, settle, batch, recorder
):
    defense = DEFENSES.build("center_at[weight=2,temperature=0.3,momentum=0.8]")
    model = settle(defense.build(make_member, torch.arange(12))).eval()
    second = Batch(batch.images.flip(0)[:9], batch.labels.flip(0)[:9], batch.index.flip(0)[:9])
    centers = [[0.0] * 8 for _ in range(12)]
    for one in (batch, second):
        recorder.calls.clear()
        value = defense.loss(model, one, recorder)
        clean, moved = model(one.images).tolist(), model(recorder.changed(one.images)).tolist()
        for k in set(one.labels.tolist()):
            own = [z for z, y in zip(clean, one.labels.tolist(), strict=True) if y == k]
            mean = [sum(column) / len(own) for column in zip(*own, strict=True)]
            keep = 0.8 if any(centers[k]) else 0.0
            centers[k] = [keep * c + (1 - keep) * m for c, m in zip(centers[k], mean, strict=True)]
        middle = [sum(column) / 12 for column in zip(*centers, strict=True)]
        codes = [[c - m for c, m in zip(center, middle, strict=True)] for center in centers]
        codes = [[x / math.sqrt(sum(x * x for x in code)) for x in code] for code in codes]

        def entropy(z, y, codes=codes):
            logits = [sum(a * b for a, b in zip(z, code, strict=True)) / 0.3 for code in codes]
            return math.log(sum(map(math.exp, logits))) - logits[y]

        labels = one.labels.tolist()
        terms = [entropy(z, y) for part in (clean, moved) for z, y in zip(part, labels, strict=True)]
        base = model.loss(model(one.images), one.labels).item()
        assert value.item() == pytest.approx(base + 2.0 * sum(terms) / len(labels), rel=1e-4)
        away = [
            -sum(a * b for a, b in zip(z, codes[y], strict=True)) for z, y in zip(moved, labels, strict=True)
        ]
        objective = recorder.only_objective(model, one.images)
        assert objective(recorder.changed(one.images)).tolist() == pytest.approx(away, abs=1e-5)


@pytest.mark.parametrize("text", ["weight=-1", "temperature=0", "momentum=1"])
def test_bad_parameters(text):
    with pytest.raises(UsageError, match=text.split("=")[0]):
        DEFENSES.build(f"center_at[{text}]")

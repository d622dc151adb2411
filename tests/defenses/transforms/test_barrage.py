import torch

from defenses.transforms import TRANSFORMS
from defenses.transforms.barrage import Barrage
from defenses.transforms.base import Transform


class Marking(Transform):
    """Writes down its number in the next free column of each image."""

    number: int = 1

    def apply(self, images):
        changed = images.clone()
        for image in changed.flatten(1):
            image[int(image[0]) + 1] = self.number
            image[0] += 1
        return changed


def test_a_barrage_draws_numbers_subsets_and_orders_for_each_image(seeded, monkeypatch):
    numbers = range(1, len(Barrage.drawn) + 1)
    monkeypatch.setattr(Barrage, "_transforms", lambda self: [Marking(number=number) for number in numbers])
    found = seeded(Barrage(least=2, most=4), torch.zeros(600, 1, 1, 12)).flatten(1)
    counts = found[:, 0].long()
    assert set(counts.tolist()) == {2, 3, 4}
    assert all(abs(int((counts == count).sum()) - 200) < 50 for count in (2, 3, 4))
    lists = [tuple(row[1 : 1 + count].long().tolist()) for row, count in zip(found, counts, strict=True)]
    assert all(len(set(single)) == len(single) and 0 not in single for single in lists)
    for place in (0, 1):  # each transform is as likely as another, in each place
        places = [single[place] for single in lists]
        assert all(30 < places.count(number) < 110 for number in numbers)
    assert len(set(lists)) > 300


def test_parts_of_a_barrage_can_be_built():
    assert [TRANSFORMS.build(text).spec for text in Barrage.drawn] == list(Barrage.drawn)

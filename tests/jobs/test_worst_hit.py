import torch

from benchmark.jobs.worst_hit import HIT_CLASSES, IMAGES, worst_hit

CLASSES, EACH = 12, 25


class Known:
    """Embeddings of a pool that are given."""

    def __init__(self, before, after, labels):
        self.labels, self._before, self._after = labels, before, after

    def clean(self, repeat=0):
        return self._before

    def attacked(self, repeat=0):
        return self._after


def pool(moves):
    """Classes at unit vectors; of a class, so many images move to another one: {class: (count, to)}."""
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    before = torch.eye(CLASSES)[labels]
    after = before.clone()
    for label, (count, to) in moves.items():
        after[torch.arange(count) + EACH * label] = torch.eye(CLASSES)[to]
    return Known(before, after, labels)


def test_the_classes_that_lost_most_are_kept_with_where_their_images_went():
    found = worst_hit(pool({9: (25, 2), 4: (20, 0), 7: (10, 2), 1: (5, 11), 3: (1, 5)}))
    assert found["hit_classes"].tolist() == [9, 4, 7, 1]
    torch.testing.assert_close(found["hit_lost"], torch.tensor([1.0, 0.8, 0.4, 0.2]))
    kept = list(dict.fromkeys(found["hit_labels"].tolist()))
    assert kept[:4] == [9, 4, 7, 1] and {2, 0, 11} <= set(kept[4:]) and len(kept) == 2 * HIT_CLASSES
    assert found["hit_clean"].shape == found["hit_attacked"].shape == (2 * HIT_CLASSES * IMAGES, CLASSES)
    assert found["hit_clean"].dtype == torch.float16


def test_embeddings_belong_to_the_same_images():
    found = worst_hit(pool({9: (1, 2)}))
    first = found["hit_labels"].tolist().index(9)
    assert found["hit_clean"][first].argmax() == 9 and found["hit_attacked"][first].argmax() == 2
    assert found["hit_attacked"][first + 1].argmax() == 9


def test_a_pool_with_few_classes_is_kept_whole():
    labels = torch.tensor([0, 0, 1, 1])
    embedded = torch.eye(2)[labels]
    found = worst_hit(Known(embedded, embedded, labels))
    assert sorted(set(found["hit_labels"].tolist())) == [0, 1] and found["hit_lost"].tolist() == [0.0, 0.0]

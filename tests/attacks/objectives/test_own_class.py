import torch

from attacks.objectives.own_class import OwnClasses

LABELS = torch.tensor([2, 0, 1, 2, 2, 1, 3, 2])
GALLERY = torch.tensor([6, 3, 0, 4, 2, 7])  # without class 0
EVERY = torch.arange(len(LABELS))


def test_the_columns_by_hand():
    own = OwnClasses(LABELS, GALLERY).of(EVERY)
    for i, label in enumerate(LABELS.tolist()):
        columns = own.columns[i].tolist()
        assert len(set(columns)) == 4  # the size of class 2
        inside = {c for c, of_class in zip(columns, own.inside[i].tolist(), strict=True) if of_class}
        assert inside == {c for c, j in enumerate(GALLERY.tolist()) if LABELS[j] == label}
        positive = {c for c, counts in zip(columns, own.positive[i].tolist(), strict=True) if counts}
        assert positive == {c for c in inside if GALLERY[c] != i}


def test_reading_and_writing():
    own = OwnClasses(LABELS, GALLERY).of(EVERY)
    matrix = torch.randn(len(LABELS), len(GALLERY))
    same = LABELS.unsqueeze(1) == LABELS[GALLERY]
    positive = same & (EVERY.unsqueeze(1) != GALLERY)
    found = own.positives(matrix, -9.0)
    expected = matrix.masked_fill(~positive, -9.0)
    assert torch.equal(found.amax(1), expected.amax(1))
    written = matrix.clone()
    own.write(written, -torch.inf)
    assert torch.equal(written, matrix.masked_fill(same, -torch.inf))
    own.write(written, matrix.gather(1, own.columns))
    assert torch.equal(written, matrix)


def test_the_latest_answer_is_kept_for_the_same_indices_only():
    own_classes = OwnClasses(LABELS, GALLERY)
    first = own_classes.of(EVERY)
    assert own_classes.of(EVERY) is first
    assert torch.equal(own_classes.of(EVERY[2:]).columns, first.columns[2:])

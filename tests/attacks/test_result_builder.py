import pytest
import torch

from attacks.result_builder import ResultBuilder


@pytest.fixture
def problem(linear, make_problem):
    return make_problem(linear, attacked=torch.tensor([2, 3, 11, 29]), batch_size=3)


def blank(builder, level):
    """One image of a constant gray level for each image of each batch."""
    return [torch.full((len(index), 1, 8, 8), level) for index in builder.batches]


def test_batches_are_written_to_their_places_and_the_rest_is_clean(problem):
    builder = ResultBuilder(problem)
    assert [index.tolist() for index in builder.batches] == [[29, 11, 3], [2]]  # shuffled
    for batch, images in enumerate(blank(builder, 0.5)):
        builder.write(batch, images)
    result = builder.result()
    changed = (result.images != problem.images).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [2, 3, 11, 29]
    assert (result.images[changed] == 0.5).all()
    assert result.objective is None and result.zero_gradient is None


def test_the_better_image_is_kept_and_the_first_one_of_equals(problem):
    builder = ResultBuilder(problem)
    for level, values in ((0.1, [1.0, 5, 3]), (0.2, [2.0, 4, 3]), (0.3, [0.0, 9, 2])):
        builder.write_better(0, blank(builder, level)[0], torch.tensor(values))
        builder.write(1, blank(builder, level)[1], torch.zeros(1))
    result = builder.result()
    assert result.images[[2, 3, 11, 29], 0, 0, 0].tolist() == pytest.approx([0.3, 0.1, 0.3, 0.2])
    assert result.objective.tolist() == [0, 3, 9, 2]


def test_zero_gradients_are_a_fraction_of_those_counted(problem):
    builder = ResultBuilder(problem)
    for batch, images in enumerate(blank(builder, 0.5)):
        gradient = torch.zeros_like(images)
        gradient[0, 0, 0, 0] = 1e-30
        builder.count_zero_gradients(gradient)
        builder.write(batch, images)
    assert builder.result().zero_gradient == 2 / 4

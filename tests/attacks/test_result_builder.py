import math

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


def zero_gradient(problem, entry, spread):
    builder = ResultBuilder(problem)
    for batch, images in enumerate(blank(builder, 0.5)):
        gradient = torch.zeros_like(images)
        gradient[0, 0, 0, 0] = entry
        builder.add_first_step(gradient, spread * torch.arange(len(images)).float())
        builder.write(batch, images)
    return builder.result().zero_gradient


@pytest.mark.parametrize("spread", [1e-20, 1.0, 1e10])
def test_zero_gradients_are_a_fraction_of_those_counted(problem, spread):
    limit = 1e-4 * spread * math.sqrt(11) / 4 / problem.eps  # the deviation of 0, 1, 2, 0
    assert zero_gradient(problem, 1.1 * limit, spread) == 2 / 4
    assert zero_gradient(problem, 0.9 * limit, spread) == 1
    assert zero_gradient(problem, 0.0, spread) == 1


def test_where_the_objective_is_constant_a_gradient_is_zero_only_if_it_is_exactly(problem):
    assert zero_gradient(problem, 1e-30, 0.0) == 2 / 4
    assert zero_gradient(problem, 0.0, 0.0) == 1

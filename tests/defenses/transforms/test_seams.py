from itertools import pairwise, product

import pytest
import torch

from defenses.transforms.seams import join, seams


@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (4, 1), (5, 2), (5, 4)])
def test_seams_are_the_cheapest_of_all_paths(rows, columns):
    costs = torch.rand(6, rows, columns)
    found = seams(costs)
    for matrix, path in zip(costs.tolist(), found.tolist(), strict=True):
        allowed = [
            steps
            for steps in product(range(columns), repeat=rows)
            if all(abs(a - b) <= 1 for a, b in pairwise(steps))
        ]
        assert tuple(path) == min(
            allowed, key=lambda steps: sum(row[s] for row, s in zip(matrix, steps, strict=True))
        )


def test_tiles_of_one_image_are_joined_to_it():
    image = torch.rand(2, 3, 6, 14)
    tiles = image.unfold(3, 5, 3).movedim(3, 1)
    assert torch.equal(join(tiles, 2), image)


def test_each_row_changes_tiles_at_the_seam():
    left, right = torch.zeros(1, 1, 1, 3, 6), torch.ones(1, 1, 1, 3, 6)
    # They agree in one pixel of each row of the overlap, which is where the seam goes.
    for row, column in enumerate((0, 1, 2)):
        left[..., row, 3 + column] = 1
    joined = join(torch.cat([left, right], 1), 3)[0, 0]
    assert joined.tolist() == [
        [0, 0, 0, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 1, 1, 1, 1],
    ]


def test_one_tile_is_itself():
    tile = torch.rand(2, 1, 3, 5, 5)
    assert torch.equal(join(tile, 2), tile[:, 0])

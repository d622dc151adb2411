import pytest

from defenses.transforms import TRANSFORMS


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_against_the_nearest_level(draw, bits):
    images = draw(3, count=2, side=6)
    levels = [level / (2**bits - 1) for level in range(2**bits)]
    found = TRANSFORMS.build(f"bit_depth[bits={bits}]").apply(images)
    for value, result in zip(images.flatten().tolist(), found.flatten().tolist(), strict=True):
        assert abs(result - min(levels, key=lambda level: abs(level - value))) < 1e-6

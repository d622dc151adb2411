import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.seeding import derive_seed, noise_per_image, seed_everything

from ..simulated_device import OTHER, TwoDevices, inner


def test_a_seed_is_the_same_for_ever():
    # Pinned: a change of this value changes every random start of every record.
    assert derive_seed("model", 0, 0.1) == 5374972464759215996


def test_a_seed_depends_on_every_part_and_on_their_order():
    seeds = [derive_seed(*p) for p in [("a", 1), (1, "a"), ("a", 2), ("a1",), ("a", 1, ""), ("b", 1), ()]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seed_everything_seeds_all_three():
    draws = []
    for _ in range(2):
        seed_everything("job", 3)
        draws.append((random.random(), np.random.rand(), float(torch.rand(()))))
    assert draws[0] == draws[1]
    seed_everything("job", 4)
    assert all(
        a != b
        for a, b in zip(draws[0], (random.random(), np.random.rand(), float(torch.rand(()))), strict=True)
    )


@given(st.permutations(range(8)), st.integers(1, 8), st.booleans())
def test_noise_does_not_depend_on_the_batch(order, kept, normal):
    ids = torch.arange(8) + 100
    whole = noise_per_image((1, 3, 3), ids, 7, "restart", normal=normal)
    chosen = torch.tensor(order)[:kept]
    assert torch.equal(noise_per_image((1, 3, 3), ids[chosen], 7, "restart", normal=normal), whole[chosen])


def test_noise_depends_on_id_and_parts():
    ids = torch.tensor([1, 2, 1])
    noise = noise_per_image((4,), ids, 0)
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, noise_per_image((4,), ids, 1))


def test_noise_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    noise_per_image((4,), torch.arange(3), 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("normal", "deviation"), [(False, 3**-0.5), (True, 1.0)])
def test_noise_is_distributed_as_it_says(normal, deviation):
    noise = noise_per_image((10_000,), torch.arange(2), normal=normal)
    assert noise.dtype == torch.float32
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(deviation, rel=0.03)
    assert normal or float(noise.abs().max()) <= 1


M64 = 2**64 - 1


def mix_by_hand(z):
    """SplitMix64's output function on Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def noise_by_hand(image_id, pixel, *parts):
    """The uniform number of one pixel."""
    gamma = 0x9E3779B97F4A7C15
    state = mix_by_hand(mix_by_hand(image_id * gamma & M64) ^ derive_seed(*parts))
    draw = mix_by_hand((state + (pixel // 2 + 1) * gamma) & M64)
    half = draw >> 32 if pixel % 2 else draw & 0xFFFFFFFF
    return np.float32(half - 2**32 if half >= 2**31 else half) * np.float32(2.0**-31)


def test_the_hash_is_splitmix64():
    # The first outputs for the seed 1234567, as in the reference implementation's published test.
    state, found = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) & M64
        found.append(mix_by_hand(state))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)])
def test_noise_by_hand(shape):
    ids = torch.tensor([0, 5, 2**40 + 3, -2])
    noise = noise_per_image(shape, ids, 3, "restart", 1).flatten(1)
    for row, image_id in enumerate(ids.tolist()):
        expected = [noise_by_hand(image_id, pixel, 3, "restart", 1) for pixel in range(math.prod(shape))]
        assert noise[row].tolist() == [float(value) for value in expected]


def test_normal_noise_by_hand():
    noise = noise_per_image((5,), torch.tensor([9]), "start", normal=True)[0].tolist()
    for pair in range(2):
        first, second = (
            (float(noise_by_hand(9, 2 * pair + half, "start")) + 1) / 2 for half in (0, 1)
        )  # to float32's precision
        radius = math.sqrt(-2 * math.log(first))
        expected = [radius * math.cos(2 * math.pi * second), radius * math.sin(2 * math.pi * second)]
        assert noise[2 * pair : 2 * pair + 2] == pytest.approx(expected, abs=1e-5)


def test_noise_on_another_device_has_the_same_bits():
    ids = torch.arange(5) * 1000
    for normal in (False, True):
        expected = noise_per_image((3, 4), ids, 1, normal=normal)
        with TwoDevices():
            found = noise_per_image((3, 4), ids.to(OTHER), 1, normal=normal)
        assert found.device == OTHER
        assert torch.equal(inner(found), expected)


@pytest.mark.parametrize("normal", [False, True])
def test_noise_has_no_structure(normal):
    noise = noise_per_image((1000,), torch.arange(1000), 4, normal=normal).double()
    values, count = noise.flatten().sort().values, noise.numel()
    cdf = torch.special.ndtr(values) if normal else (values + 1) / 2
    # Kolmogorov and Smirnov: exceeded by chance once in 10^6.
    assert float((cdf - (torch.arange(count) + 0.5) / count).abs().max()) < 2.7 / count**0.5
    scaled = (noise - noise.mean()) / noise.std()
    for other in (scaled.roll(1, 1), scaled.roll(2, 1), scaled.roll(1, 0), scaled.t()):
        assert abs(float((scaled * other).mean())) < 0.005  # five standard errors


def test_noise_of_any_seed_differs():
    starts = torch.cat([noise_per_image((2,), torch.arange(500), seed) for seed in range(20)])
    assert len(starts.unique(dim=0)) == 10_000

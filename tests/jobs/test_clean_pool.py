"""Embeddings of the clean pool: computed once, the same for every job, and never damaged unnoticed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.jobs.clean_pool import CleanPool
from benchmark.records import ModelKey, Store
from benchmark.records.embeddings import embeddings_path, read_embeddings, save_embeddings

KEY = ModelKey(dataset="made-up", backbone="tiny", loss="proxy_anchor", defense="any", seed=3)


class Counted(Embedder):
    """Counts the images that it embeds; with noise where it is randomised."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise, self.randomised, self.count = noise, noise > 0, 0

    def forward(self, images):
        self.count += len(images)
        flat = images.flatten(1)
        return torch.nn.functional.normalize(flat + self.noise * torch.randn_like(flat))


@pytest.fixture
def embed(make_images, tmp_path):
    pool = make_images(classes=3, per_class=4)

    def embed(model, stored_as="abc", output="out"):
        clean = CleanPool(stored_as, KEY, pool, pool.batch(slice(None)), "cpu", eot=2, repeats=3)
        return clean.embeddings(model, 5, Store(tmp_path / output))

    embed.images, embed.store = pool.batch(slice(None)), Store(tmp_path / "out")
    return embed


@pytest.mark.parametrize(("noise", "passes"), [(0.0, 1), (0.1, 3 + 2)])
def test_the_pool_is_embedded_once(embed, noise, passes):
    model = Counted(noise)
    first, second = embed(model), embed(model)
    assert model.count == passes * len(embed.images)
    for one, other in ((first.scored, second.scored), (first.searched, second.searched)):
        assert torch.equal(one, other)
    assert first.scored.shape[:2] == (3 if noise else 1, len(embed.images))
    embed(model, "other")
    assert model.count == 2 * passes * len(embed.images)


def test_they_do_not_depend_on_which_job_computes_them(embed):
    model = Counted(0.1)
    seed_everything("one job")
    first = embed(model, output="one")
    seed_everything("another")
    second = embed(model, output="two")
    assert torch.equal(first.scored, second.scored) and torch.equal(first.searched, second.searched)


def test_attacks_and_scores_share_those_of_a_fixed_model_and_not_those_of_a_randomised_one(embed):
    fixed, random = embed(Counted()), embed(Counted(0.1), "random")
    assert torch.equal(fixed.searched, F.normalize(fixed.scored[0]))
    assert not any(torch.equal(random.searched, scored) for scored in random.scored)
    torch.testing.assert_close(random.searched.norm(dim=1), torch.ones(len(embed.images)))


def test_damaged_ones_are_set_aside_and_computed_again(embed, capfd):
    model = Counted()
    expected = embed(model)
    path = embeddings_path(embed.store, "abc")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert torch.equal(embed(model).scored, expected.scored)
    assert model.count == 2 * len(embed.images)
    assert "is damaged (its checksum is not that of its content)" in capfd.readouterr().err
    assert read_embeddings(embed.store, "abc").keys() == {"scored"}


def test_those_of_other_settings_are_not_used(embed):
    save_embeddings(embed.store, "abc", {"scored": np.zeros((2, 5, 4), np.float32)}, KEY)
    assert embed(Counted()).scored.shape[:2] == (1, len(embed.images))

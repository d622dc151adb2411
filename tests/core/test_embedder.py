import pytest
import torch

from benchmark.core.embedder import Embedder


def test_what_an_embedder_says_of_itself_by_default():
    embedder = Embedder()
    assert embedder.differentiable() is embedder
    assert list(embedder.members) == [embedder]
    assert embedder.randomised is False
    with pytest.raises(NotImplementedError):
        embedder(torch.zeros(1, 1, 2, 2))

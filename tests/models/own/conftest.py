import pytest
import torch

from .networks import SOURCE


@pytest.fixture
def file(tmp_path):
    """A user's file with networks."""
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def images():
    return torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(0))

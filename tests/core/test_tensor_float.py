"""The switch of TF32, which exists on a CPU as well, where it has no effect."""

import pytest
import torch

from benchmark.core.tensor_float import tensor_float

needs_newer = pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch has one kind only")


@pytest.fixture
def settings():
    """Restores torch's settings after the test."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def older():
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("before", [(True, "highest"), (False, "high"), (True, "medium")])
@pytest.mark.parametrize(("used", "within"), [(False, (False, "highest")), (True, (True, "high"))])
def test_it_switches_everything_and_restores_it(settings, before, used, within):
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])
    with pytest.raises(ZeroDivisionError), tensor_float(used):
        assert older() == within
        raise ZeroDivisionError
    assert older() == before


@needs_newer
@pytest.mark.parametrize(("used", "within"), [(False, "ieee"), (True, "tf32")])
def test_newer_settings_that_the_older_cannot_express(settings, used, within):
    owners = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    owners[0].fp32_precision = "ieee"  # while that of recurrent layers is "tf32"
    before = [owner.fp32_precision for owner in owners]
    with pytest.raises(RuntimeError):
        older()
    with tensor_float(used):
        assert [owner.fp32_precision for owner in owners] == [within] * 3
        with tensor_float(not used):
            assert within not in [owner.fp32_precision for owner in owners]
        assert [owner.fp32_precision for owner in owners] == [within] * 3
    assert [owner.fp32_precision for owner in owners] == before

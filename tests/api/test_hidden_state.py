"""Models that keep weights, modules or results where nothing declares them, or write to their images."""

import numpy as np
import pytest
import torch
from torch import nn

from .test_evaluated import Net, run

pytestmark = pytest.mark.usefixtures("places")


class Listed(nn.Module):
    """Keeps its layer and its power where `state_dict` has neither."""

    def __init__(self, net):
        super().__init__()
        self.layers, self._power = [net], (1.0,)

    def forward(self, images):
        return self.layers[0](images).sign() * self.layers[0](images).abs() ** self._power[0]


class Holder:
    """Holds a network without being callable itself."""

    def __init__(self, net):
        self.model, self.shift = net, np.zeros(8, dtype=np.float32)

    def embed(self, images):
        return self.model(images) + torch.from_numpy(self.shift)


def retrained(net):
    net.linear.weight.data = torch.randn(8, 64)


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda holder: Listed(holder.model), lambda model, holder: retrained(holder.model)),
        (lambda holder: Listed(holder.model), lambda model, holder: setattr(model, "_power", (0.1,))),
        (lambda holder: holder.embed, lambda model, holder: retrained(holder.model)),
        (lambda holder: holder.embed, lambda model, holder: setattr(holder, "shift", holder.shift + 3)),
        (lambda holder: {"net": holder}["net"].embed, lambda model, holder: setattr(holder, "model", Net())),
    ],
)
def test_what_a_model_keeps_out_of_sight_is_part_of_it(tmp_path, make, change):
    tensors = torch.rand(40, 1, 8, 8), torch.arange(40) % 8
    holder = Holder(Net().eval())
    model = make(holder)
    first = run(model, tensors, name="it", output=tmp_path / "out").row("it").clean
    assert run(model, tensors, name="it", output=tmp_path / "out").row("it").clean == first
    change(model, holder)
    again = run(model, tensors, name="it", output=tmp_path / "out").row("it").clean
    assert again == run(model, tensors, name="it", output=tmp_path / "new").row("it").clean != first


def test_a_module_behind_a_method_is_evaluated_in_evaluation_mode(tensors):
    net = Net()
    holder = Holder(net)
    expected = run(net, tensors, name="it").row("it").clean
    assert run(holder.embed, tensors, name="it").row("it").clean == expected
    assert net.training and net.dropout.training


def test_a_model_that_keeps_what_it_computed_is_evaluated(tensors):
    class Keeps(Net):
        def forward(self, images):
            self.features = super().forward(images)
            return self.features

    results = run(Keeps(), tensors)
    assert (
        results.row("Keeps").failed_cells == 0 and "fgsm[objective=neighbour]" in results.row("Keeps").attacks
    )


def test_a_model_that_writes_to_its_images_changes_nothing_of_others(tensors):
    other, net = Net(), Net()

    def writes(images):
        return net(images.neg_().add_(1))

    both = run({"writes": writes, "other": other}, tensors)
    alone = run({"other": other}, tensors)
    for name in ("other", "pixels"):
        assert both.row(name).clean == alone.row(name).clean
        assert both.row(name).worst == alone.row(name).worst
    copied = run({"writes": lambda images: net(1 - images)}, tensors)
    assert both.row("writes").worst == copied.row("writes").worst

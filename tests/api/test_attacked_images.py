import random

import numpy as np
import pytest
import torch
from torch import nn

import benchmark
from benchmark import UsageError, attack
from benchmark.core.embedder import Embedder
from benchmark.data import Folders
from benchmark.jobs import RunContext, attack_run
from benchmark.jobs.models import load_data
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve

EPS = 0.1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 6)
        )

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def batch(images):
    index = slice(0, 40)
    return images.batch(index), images.labels[index]


def test_a_white_box_attack_changes_the_neighbors(net, batch):
    images, labels = batch
    net.eval()
    attacked = attack(net, images, labels, eps="25/255")
    assert attacked.shape == images.shape and attacked.dtype == torch.float32
    assert not attacked.requires_grad
    assert (attacked - images).abs().max() <= 25 / 255 + 1e-6
    assert attacked.min() >= 0 and attacked.max() <= 1
    with torch.no_grad():
        gallery = nn.functional.normalize(net(images))
        hits = []
        for asked in (images, attacked):
            similarity = nn.functional.normalize(net(asked)) @ gallery.t()
            similarity.fill_diagonal_(-2)
            hits.append((labels[similarity.argmax(1)] == labels).float().mean())
    assert hits[1] < hits[0] - 0.2


def snapshot(net):
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        [module.training for module in net.modules()],
        [parameter.requires_grad for parameter in net.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in net.parameters()],
        {name: tensor.tolist() for name, tensor in net.state_dict().items()},
    )


@pytest.mark.parametrize("name", ["pgd[objective=neighbour,steps=2]", "square[objective=pair,queries=3]"])
def test_nothing_of_the_caller_changes(net, batch, name):
    images, labels = batch
    net.train()
    net.layers[1].eval()  # a frozen batch norm within a model in training
    net.layers[0].weight.requires_grad_(False)
    net(images).sum().backward()
    before = snapshot(net)
    attack(net, images, labels, name, eps=EPS)
    assert snapshot(net) == before


def test_nothing_of_the_caller_changes_after_an_error(net, batch):
    images, labels = batch
    before = snapshot(net)
    with pytest.raises(UsageError):
        attack(lambda x: net(x)[:, :, None], images, labels, eps=EPS)
    assert snapshot(net) == before


def test_a_graph_from_before_the_attack_stays_usable(net, batch):
    images, labels = batch
    loss = net(images).square().sum()
    attacked = attack(net, images, labels, "pgd[objective=own,steps=2]", eps=EPS)
    (loss + net(attacked).square().sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


SURROUNDINGS = [torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)]


@pytest.mark.parametrize("around", SURROUNDINGS, ids=lambda context: type(context).__name__)
def test_the_same_images_in_any_mode(net, batch, around):
    images, labels = batch
    wanted = attack(net, images, labels, "pgd[objective=own,steps=2]", eps=EPS)
    with around:
        found = attack(net, images * 1, labels, "pgd[objective=own,steps=2]", eps=EPS)
    assert torch.equal(found, wanted)


def test_the_same_images_with_other_defaults_of_torch(net, batch):
    images, labels = batch
    wanted = attack(net, images, labels, "pgd[objective=own,steps=2]", eps=EPS)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = attack(net, images, labels, "pgd[objective=own,steps=2]", eps=EPS)
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.equal(found, wanted)


def test_labels_may_be_any_integers(net, batch):
    images, labels = batch
    wanted = attack(net, images, labels, "pgd[objective=centroid_ce,steps=2]", eps=EPS)
    for others in (labels * 1000 - 7, labels.to(torch.int16)):
        found = attack(net, images, others, "pgd[objective=centroid_ce,steps=2]", eps=EPS)
        assert torch.equal(found, wanted)


def test_starts_depend_on_ids_and_seed(net, batch):
    images, labels = batch
    ids = torch.arange(len(images)) + 5
    together = attack(net, images, labels, "noise", eps=EPS, ids=ids, seed=3)
    part = attack(net, images[8:24], labels[8:24], "noise", eps=EPS, ids=ids[8:24], seed=3)
    assert torch.equal(together[8:24], part)
    assert not torch.equal(together, attack(net, images, labels, "noise", eps=EPS, ids=ids, seed=4))


def test_a_black_box_attack_needs_no_gradient(batch):
    images, labels = batch

    def model(asked):
        return torch.from_numpy(asked.flatten(1).numpy()[:, ::3].copy())

    attacked = attack(model, images, labels, "square[objective=neighbour,queries=5]", eps=EPS)
    assert not torch.equal(attacked, images)
    with pytest.raises(UsageError, match=r"lets no gradient through.*square"):
        attack(lambda asked: asked.detach().flatten(1), images, labels, eps=EPS)


def test_a_transferred_attack_takes_its_source(net, batch):
    images, labels = batch
    name = "transfer[source=vanilla,attack=pgd[objective=neighbour,steps=2]]"
    attacked = attack(lambda x: x.detach().flatten(1), images, labels, name, eps=EPS, source=net)
    assert torch.equal(attacked, attack(net, images, labels, "pgd[objective=neighbour,steps=2]", eps=EPS))


class Random(Embedder):
    randomised = True

    def forward(self, images):
        return nn.functional.normalize(images.flatten(1) + torch.randn(len(images), 64), dim=1)


def test_a_randomized_model_gives_the_same_images_for_the_same_seed(batch):
    images, labels = batch
    first, second = (attack(Random(), images, labels, "pgd[steps=2]", eps=EPS) for _ in range(2))
    assert torch.equal(first, second)


def test_eot_samples(batch):
    images, labels = batch
    sizes = []

    def model(asked):
        sizes.append(len(asked))
        return asked.flatten(1)

    attack(model, images, labels, "fgsm[objective=own]", eps=EPS)
    assert set(sizes) == {40}
    attack(model, images, labels, "fgsm[objective=own]", eps=EPS, eot=3)
    assert max(sizes) == 120


def test_a_model_of_another_precision_and_a_method(net, batch):
    images, labels = batch
    assert attack(Net().double(), images, labels, eps=EPS).dtype == torch.float32
    assert attack(net, images.double(), labels, eps=EPS).dtype == torch.float32
    net.train()
    before = net.layers[1].running_mean.clone()
    attack(net.forward, images, labels, "pgd[steps=1]", eps=EPS)
    assert net.training and torch.equal(net.layers[1].running_mean, before)


def test_the_precision_of_the_search(net, batch):
    seen = []
    net.layers.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    found = [attack(net, *batch, eps=EPS, attack_precision=name) for name in ("float32", "bfloat16")]
    assert 0 < sum(seen) < len(seen) / 2
    assert not torch.equal(*found)
    assert torch.equal(found[0], attack(net, *batch, eps=EPS))


def test_queries_are_attacked_against_the_gallery(net, batch):
    images, labels = batch
    queries = torch.arange(40) % 2 == 0
    found = attack(net, images, labels, "pgd[objective=neighbour,steps=2]", eps=EPS, queries=queries)
    assert not torch.equal(found, attack(net, images, labels, "pgd[objective=neighbour,steps=2]", eps=EPS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [1]}, "images must be a torch.Tensor, not list"),
        ({"images": torch.zeros(3, 8, 8)}, r"shape \(n, C, H, W\).*not \(3, 8, 8\)"),
        ({"images": torch.zeros(0, 1, 8, 8)}, "none of them 0"),
        ({"images": torch.zeros(40, 1, 8, 8, dtype=torch.uint8)}, "uint8.*/ 255"),
        ({"images": torch.zeros(40, 1, 8, 8, dtype=torch.int64)}, "floating-point.*not int64"),
        ({"images": torch.full((40, 1, 8, 8), torch.nan)}, "not finite"),
        ({"images": torch.full((40, 1, 8, 8), 2.5)}, "from 2.5 to 2.5.*inside the model"),
        ({"labels": list(range(40))}, "labels must be a torch.Tensor"),
        ({"labels": torch.arange(39)}, r"labels must have the shape \(40,\).*not \(39,\)"),
        ({"labels": torch.rand(40)}, "labels must be integers, not float32"),
        ({"labels": torch.ones(40, dtype=torch.bool)}, "labels must be integers, not bool"),
        ({"labels": torch.ones(40, dtype=torch.int64)}, "labels name one class"),
        ({"ids": torch.arange(3)}, r"ids must have the shape \(40,\)"),
        ({"queries": torch.arange(40)}, "queries must be a boolean tensor"),
        ({"queries": torch.ones(40, dtype=torch.bool)}, "leave others as the gallery"),
        ({"eps": 8}, "eps is 8, but pixels are in .0, 1.: write 8/255"),
        ({"eps": -0.1}, "eps must be a number from 0 on.*-0.1"),
        ({"eps": "eight"}, "eps must be a number.*'eight'"),
        ({"eps": float("nan")}, "eps must be a number.*nan"),
        ({"norm": "l3"}, "Unknown norm 'l3'. Valid: linf, l2"),
        ({"attack": "pgdd"}, "Unknown attack 'pgdd'.*pgd"),
        ({"attack": "pgd[steps=0]"}, "steps"),
        ({"attack": "standard"}, r"suite of \d+ attacks; name one"),
        ({"attack": "transfer[source=vanilla,attack=noise]"}, "give it as source="),
        ({"source": nn.Flatten()}, "takes no other model"),
        ({"seed": -1}, "seed must be a whole number from 0 on"),
        ({"attack_precision": "tf32"}, "tf32 is one of GPUs"),
        ({"attack_precision": "half"}, "Unknown attack precision 'half'. Valid: bfloat16, float32, tf32"),
        ({"eot": 0}, "eot must be a whole number from 1 on"),
        ({"model": 3}, "model must be an nn.Module or a callable, not int"),
        ({"model": lambda x: x}, r"embeddings of shape \(40, d\).*returned \(40, 1, 8, 8\)"),
        ({"model": lambda x: [x]}, "returned list"),
        ({"model": lambda x: x.flatten(1)[:3]}, r"returned \(3, 64\)"),
        ({"model": lambda x: x.flatten(1) / 0}, "not finite"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 2, device="meta"))}, "is on meta.*on cpu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_bad_input_gets_one_line(batch, changes, message):
    given = {"model": nn.Flatten(), "images": batch[0], "labels": batch[1], "eps": EPS} | changes
    with pytest.raises(UsageError, match=message) as caught:
        attack(given.pop("model"), given.pop("images"), given.pop("labels"), **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"datasets": "digits", "attacks": "pgd_decay[objective=neighbour,steps=3]", "seeds": "2"},
        {"datasets": "digits", "attacks": "pgd_decay[objective=information,steps=2]", "norm": "l2"},
        {"datasets": "glyphs[classes=16,per_class=4]", "attacks": "square[objective=neighbour,queries=4]"},
        {"datasets": "digits", "attacks": "transfer[attack=fgsm[objective=own]]", "defenses": "adp"},
    ],
    ids=lambda options: options["attacks"],
)
def test_the_same_images_as_the_cell_of_a_run(tiny, tmp_path, monkeypatch, options):
    grid = build_grid(resolve(options, tiny), Folders(tmp_path, tmp_path))
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    job = next(planned.job for planned in grid.attacks if planned.role == "suite")
    attacked = []

    class Watched(attack_run.PoolEmbeddings):
        def __init__(self, model, clean, images, *arguments, **named):
            attacked.append(images)
            super().__init__(model, clean, images, *arguments, **named)

    monkeypatch.setattr(attack_run, "PoolEmbeddings", Watched)
    for training in {job.model.id: job.model, **({job.source.id: job.source} if job.source else {})}.values():
        training.train(context)
    job.attack_and_score(job.cells, context)
    pool = load_data(job.key.dataset, context.folders).test
    found = benchmark.attack(
        job.model.load(context)[0],
        pool.batch(slice(None)),
        pool.labels,
        job.attack,
        eps=job.eps,
        norm=job.norm,
        seed=job.key.seed,
        ids=pool.ids,
        source=job.source.load(context)[0] if job.source else None,
    )
    assert torch.equal(found, attacked[0])


def test_the_package_loads_no_torch_until_it_is_used():
    import subprocess
    import sys

    code = "import sys, benchmark; dir(benchmark); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

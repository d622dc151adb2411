import shutil

import pytest
import torch

from benchmark import UsageError, load_model, load_results
from benchmark.data import DATASETS
from benchmark.data.places import folders_for
from benchmark.jobs import RunContext
from benchmark.planning.grid import build_grid
from benchmark.planning.manifest import make_manifest
from benchmark.planning.resolve import resolve


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two defenses, two seeds and two data sets, of which every model of vanilla is trained."""
    output = tmp_path_factory.mktemp("run")
    config = resolve(
        {
            "datasets": "digits,glyphs[classes=16,per_class=4]",
            "defenses": "vanilla,adp[members=2]",
            "attacks": "noise",
            "seeds": "1 2",
            "training": {"epochs": 1, "batch_size": 32},
            "checks": False,
            "output": str(output),
        }
    )
    folders = folders_for()
    grid = build_grid(config, folders)
    context = RunContext(output=output, cache=folders.cache, data=folders.data, device="cpu", commit="")
    context.store.check_writable()
    context.store.save_manifest(make_manifest(grid, config, "", folders, context.provenance()))
    for planned in grid.models:
        if planned.job.key.defense in ("vanilla", "pixels"):
            planned.job.execute(context)
    return output, {planned.job.key: planned.job for planned in grid.models}, context


@pytest.fixture
def images():
    return DATASETS.build("digits").load(folders_for()).test.batch(slice(0, 8))


def test_a_trained_row_is_a_module_on_unit_vectors(run, images):
    output, jobs, context = run
    model = load_model(output, "vanilla", 2, dataset="digits")
    assert isinstance(model, torch.nn.Module) and not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    found = model(images)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(8))
    job = next(
        j for key, j in jobs.items() if (key.dataset, key.defense, key.seed) == ("digits", "vanilla", 2)
    )
    assert torch.equal(found, job.load(context)[0](images))


def test_the_lowest_seed_and_results_are_taken_too(run, images):
    results = load_results(run[0])
    first = load_model(results, "vanilla", dataset="digits")(images)
    assert torch.equal(first, load_model(run[0], "vanilla", 1, dataset="digits")(images))
    assert not torch.equal(first, load_model(run[0], "vanilla", 2, dataset="digits")(images))


def test_a_reference_is_a_row(run, images):
    assert load_model(run[0], "pixels", 1, dataset="digits")(images).shape[0] == 8


@pytest.mark.parametrize(
    ("defense", "given", "message"),
    [
        (
            "vanila",
            {},
            r"Unknown row 'vanila'. Did you mean 'vanilla'\? Valid: adp\[members=2\], pixels, vanilla",
        ),
        ("vanilla", {}, r"2 models fit; choose by dataset= one of digits, glyphs\[classes=16,per_class=4\]"),
        ("vanilla", {"dataset": "digit"}, "Unknown dataset 'digit'. Did you mean 'digits'"),
        ("vanilla", {"dataset": "digits", "seed": 0}, "Unknown seed '0'.*Valid: 1, 2"),
        ("vanilla", {"dataset": "digits", "compute": "equal-passes"}, "Unknown compute.*Valid: equal-epochs"),
        (
            "adp[members=2]",
            {"dataset": "digits"},
            r"no model of adp\[members=2\], seed 1: it has not been trained",
        ),
    ],
)
def test_a_row_that_cannot_be_loaded_gets_one_line(run, defense, given, message):
    with pytest.raises(UsageError, match=message):
        load_model(run[0], defense, **given)


def test_a_spec_is_understood_as_on_the_command_line(run):
    with pytest.raises(UsageError, match="not been trained"):  # so it was found
        load_model(run[0], "adp[members=2 ]", 1, dataset="digits")


def test_a_missing_checkpoint_is_one_line(run, tmp_path):
    copy = shutil.copytree(run[0], tmp_path / "copy")
    for path in (copy / "store" / "models").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(Exception, match="There is no checkpoint"):
        load_model(copy, "vanilla", 1, dataset="digits")

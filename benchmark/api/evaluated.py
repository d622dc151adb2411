"""Evaluates models that exist already, in this process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Literal

import torch

from attacks import WHOLE, check_precision
from benchmark.api.checked_model import Model
from benchmark.api.given_data import Data, dataset_spec, holds_images
from benchmark.api.given_models import device_of, modules_of, named_models, specs_of
from benchmark.api.results import Results
from benchmark.api.unchanged_state import unchanged_state
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.files import expand_home
from benchmark.core.hardware import resolve_device
from benchmark.core.unfinished import remove_unfinished, unfinished_prefix
from benchmark.data.places import folders_for
from benchmark.jobs import RunContext
from benchmark.planning.budgets import WANTED
from benchmark.planning.config import Configuration
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.plugins.load import load_plugins
from benchmark.plugins.proof import plugins_digest
from benchmark.records.provenance import commit
from benchmark.runner.run import run
from benchmark.runner.serial import run_serially

COMMAND = "benchmark.evaluate(...)"
"""What stands in the place of a command line."""

_ARGUMENTS = {
    "models", "datasets", "attacks", "scenarios", "eps", "norm", "checks", "device", "output",
    "attack_precision",
}  # fmt: skip
"""Keys of a configuration that follow from the arguments."""


def evaluate(
    model: Model | str | Mapping[str, Model | str],
    data: Data,
    attacks: str | Sequence[str] = "standard",
    scenarios: str | Sequence[str] = ("clustering", "retrieval-query"),
    eps: float | str | Sequence[float | str] | None = None,
    norm: Literal["linf", "l2", "l0"] = "linf",
    *,
    device: str = "auto",
    progress: bool = True,
    output: Path | str | None = None,
    name: str | None = None,
    checks: bool = True,
    attack_precision: str = WHOLE,
    options: Mapping[str, Any] | None = None,
) -> Results:
    """Attacks models on a data set and scores them, as a run of the benchmark does; trains nothing.

    All jobs run in this process, one after another, with one thread on a CPU, so that the scores are those of
    `python run_benchmark.py --model`; no `__main__` guard is needed. Modules, generators and defaults of
    torch are after the call what they were before.

    Args:
        model: an nn.Module or a callable from float images in [0, 1], shape (n, C, H, W), to embeddings,
            shape (n, d), scaled to unit length here; or a spec as `--model` takes it (a Python entry, a file,
            a name of timm); or several by their names.
        data: the spec of a data set; a folder with a folder of images for each class, as
            "folder:PATH[size=224]" unless the model says the size; or tensors: images
            (float in [0, 1] or uint8, shape (n, C, H, W)), labels (integers, shape (n,)), and optionally ids
            (integers) and queries (a mask of the images that are queries only).
        attacks: attacks and suites, by their specs.
        scenarios: what is scored.
        eps: one or several radii, in units of pixels in [0, 1], also as "8/255"; the data set's own when not
            given, which tensors and folders without `linf=` have not.
        norm: "linf", "l2" or "l0"; in the last, budgets are numbers of pixels.
        device: "cpu", "cuda", one GPU as "cuda:1", or "auto": the device of the model, or else a GPU where
            there is one.
        progress: whether progress is written to stdout.
        output: folder for records and the board; what is done there is not computed again. By default a
            temporary one, which is removed together with the results.
        name: what tables call the model; by default the name of its class or function.
        checks: whether the scores are checked for gradient masking.
        attack_precision: of the forward and backward passes that attacks search with: "float32", "tf32"
            (GPUs) or "bfloat16"; what they find is chosen and scored in float32.
        options: more keys of a configuration file, such as `{"evaluation": {"repeats": 5}}`.

    Returns:
        The results; a cell that failed has its reason in `cells`.

    Raises:
        UsageError: for an argument that does not fit, or a model that cannot be evaluated; nothing is run.
        BenchmarkError: when every attack failed.
    """
    for key in options or {}:
        if key in _ARGUMENTS:
            raise UsageError(f"'{key}' cannot be given in options; it is an argument of evaluate.")
    if eps is None and norm in WANTED and holds_images(data):
        raise UsageError(
            "Give eps, since images that are given directly have no budget of their own; it must be "
            f"{WANTED[norm]}."
        )
    models = named_models(model, name)
    if output is None:
        remove_unfinished(Path(gettempdir()))  # of processes that were killed
    temporary = TemporaryDirectory(prefix=unfinished_prefix()) if output is None else None
    folder = expand_home(Path(temporary.name if temporary else output or "")).resolve()
    modules = modules_of(models)
    where = _device(device, device_of(modules))
    check_precision(attack_precision, where)
    with ExitStack() as stack:
        stack.enter_context(unchanged_state(torch.device(where), *modules))
        config = resolve(
            {
                "models": stack.enter_context(specs_of(models)),
                "datasets": [dataset_spec(data, folder / "data")],
                "attacks": _listed(attacks),
                "scenarios": _listed(scenarios),
                "norm": [norm],
                "checks": checks,
                "attack_precision": attack_precision,
                "retry_failed": True,
                "device": where,
                "output": str(folder),
                **({} if eps is None else {"eps": _listed(eps)}),
                **(options or {}),
            }
        )
        _run(config, progress)
    results = Results(folder) if temporary is None else Results.in_temporary(temporary)
    _report_failures(results)
    return results


def _run(config: Configuration, shown: bool) -> None:
    plugins = tuple(path.resolve() for path in config.plugin)
    for line in load_plugins(plugins):
        warnings.warn(line, stacklevel=3)
    folders = folders_for(config.data_root)
    context = RunContext(
        output=config.output,
        cache=folders.cache,
        data=folders.data,
        device=config.device,
        plugins=plugins,
        commit=commit(),
        plugin_source=plugins_digest(plugins),
        save_every=config.save_every,
        save_images=config.save_images,
    )
    grid = build_grid(config, folders)
    context.store.check_writable()
    run(grid, config, context, COMMAND, shown, run_serially)


def _report_failures(results: Results) -> None:
    """Warns of cells that failed.

    Raises:
        BenchmarkError: when all did.
    """
    failures, counts = results.failures, results.cells["status"].value_counts()
    if not failures:
        return
    if "done" not in counts:
        raise BenchmarkError(f"Every attack failed: {failures[0]}")
    warnings.warn(f"{len(failures)} kinds of failures, see cells; the first: {failures[0]}", stacklevel=3)


def _device(asked: str, of_model: torch.device | None) -> str:
    if asked == "auto" and of_model is not None:
        return of_model.type
    return resolve_device(asked)


def _listed(values: object) -> list[Any]:
    return list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]

"""The ablation of EAT: scores, diversity of the ensembles, a table and a figure.

    python run_benchmark.py --preset eat --output eat
    python -m benchmark.studies.eat eat --to eat_ablation

Reads finished or partial runs, and measures the stored ensembles on a part of each data set's pool. Writes
`ablation.csv`, `diversity.csv`, `transfer_matrix.csv` and `table.md`, and as PNG and SVG `eat_ablation` and
`transfer_matrix` (described in docs/eat.md). The exit status is 0 when they were written, and 2 when there
was nothing to read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib import rc_context

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.files import write_atomically
from benchmark.core.output import protected_streams, say, warn
from benchmark.data import Folders
from benchmark.data.places import folders_for
from benchmark.jobs import RunContext, trained_job
from benchmark.jobs.models import load_data
from benchmark.report.csv_files import DECIMALS, write_csv
from benchmark.report.fonts import SETTINGS
from benchmark.report.style import save
from benchmark.studies.ablation import COLUMNS, Study, read_studies, scores_of
from benchmark.studies.diversity import (
    DIVERSITY_COLUMNS,
    MATRIX_COLUMNS,
    Diversity,
    diversity_row,
    first_classes,
    matrix_rows,
    measure,
)
from benchmark.studies.eat_figure import eat_figure
from benchmark.studies.eat_table import write_table
from benchmark.studies.transfer_figure import transfer_figure


def measure_all(study: Study, folders: Folders) -> Iterator[tuple[dict[str, Any], Diversity]]:
    """Measures every trained model of a study; members are numbered from 0.

    Args:
        study: the run's part.
        folders: where data sets are.

    Yields:
        The columns that identify the model, and its measurements.
    """
    context = RunContext(output=study.output, cache=folders.cache, data=folders.data, device="cpu", commit="")
    for ref in study.trained():
        record = study.models[ref.id]
        job = trained_job(record).model_copy(update={"key": ref.key})  # a folder may have moved since
        model, _ = job.load(context)
        pool = load_data(ref.key.dataset, folders).test
        model_key = {"dataset": study.dataset, "defense": ref.key.defense, "seed": ref.key.seed}
        queries = first_classes(pool)
        yield model_key, measure(model, pool, queries, study.table.key.norm, study.eps, ref.key.seed)


def analyse(outputs: Sequence[Path], to: Path, folders: Folders) -> str:
    """Writes every file, and returns the table.

    Args:
        outputs: folders of runs.
        to: folder for the files; made where it is missing.
        folders: where data sets are.

    Raises:
        UsageError: when a folder holds no run, or no run holds a trained model.
    """
    studies, notes = read_studies(outputs)
    for note in notes:
        warn(note)
    models = pd.DataFrame([row for study in studies for row in scores_of(study)], columns=COLUMNS)
    if models.empty:
        raise UsageError(f"No model is trained yet in {', '.join(map(str, outputs))}.")
    rows, matrix = [], []
    for study in studies:
        for model_key, found in measure_all(study, folders):
            rows.append(diversity_row(model_key, found))
            matrix += matrix_rows(model_key, found)
    diversity = pd.DataFrame(rows, columns=DIVERSITY_COLUMNS)
    write_csv(models.round(DECIMALS), to / "ablation.csv")
    write_csv(diversity.round(DECIMALS), to / "diversity.csv")
    transfer = pd.DataFrame(matrix, columns=MATRIX_COLUMNS)
    write_csv(transfer.round(DECIMALS), to / "transfer_matrix.csv")
    table = write_table(studies, models, diversity)
    write_atomically(to / "table.md", lambda path: path.write_text(table, encoding="utf-8"))
    datasets = [study.dataset for study in studies]
    with rc_context(SETTINGS):
        figures = {
            "eat_ablation.png": eat_figure(models, datasets),
            "transfer_matrix.png": transfer_figure(transfer, diversity, datasets),
        }
        for name, figure in figures.items():
            if figure is not None:
                save(figure, to / name)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status.

    Args:
        arguments: the command's arguments; those of the process when not given.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.studies.eat", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("outputs", type=Path, nargs="+", metavar="OUTPUT", help="folder of a finished run")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the files")
    options = parser.parse_args(arguments)
    with protected_streams(whole_process=arguments is None):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)  # as in the workers: results must not depend on the number of cores
    try:
        say(analyse(options.outputs, options.to, folders_for()).rstrip("\n"))
    except BenchmarkError as error:
        warn(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

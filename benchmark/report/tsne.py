"""Figure: the embeddings of a few classes before and after an attack, by t-SNE."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.cell_results import CLUSTERING, CellResult, Run
from benchmark.report.rows import Row, at_eps
from benchmark.report.style import MARKERS, PALETTE, budget, headline, new_figure
from benchmark.report.tables import Table


def tsne(run: Run, table: Table, row: Row) -> Figure | None:
    """Draws the first seed's displayed embeddings before and after the attack that is worst on clustering.

    Returns:
        None when no seed has both, or there are too few points.
    """
    pair = _pair(run, table, row)
    if pair is None:
        return None
    clean, attacked = pair
    before, after = run.arrays(clean), run.arrays(attacked)
    labels = before["display_labels"]
    points = _project(before["display"], after["display"])
    if points is None:
        return None
    figure = new_figure(9.0, 5.2)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _scatter(left, points[: len(labels)], labels)
    _scatter(right, points[len(labels) :], labels)
    left.set_title(f"Clean: AMI of the pool {_percent(clean)}", fontsize=10.5, loc="left")
    right.set_title(f"Attacked: AMI of the pool {_percent(attacked)}", fontsize=10.5, loc="left")
    classes = len(np.unique(labels))
    key = table.key
    headline(
        figure,
        f"{row.name}: embeddings before and after {table.names.short(attacked.key.attack)} "
        f"({budget(key.norm, key.eps)})",
        f"{table.trained}, seed {attacked.key.seed}. {len(labels)} images of "
        f"{classes} classes, a color and shape for each. Both panels share one t-SNE, so positions can "
        f"be compared; it shows which points are near each other, not how far apart groups are.",
    )
    return figure


def _pair(run: Run, table: Table, row: Row) -> tuple[CellResult, CellResult] | None:
    """The clean and the attacked clustering cell of the first seed that has display points of both."""
    attack = row.worst_attack(CLUSTERING, "ami")
    cells = [o for o in row.cells if o.done and o.key.scenario == CLUSTERING]
    clean = {o.key.seed: o for o in cells if o.ref.role == "clean"}
    attacked = {o.key.seed: o for o in cells if at_eps(o, table.key.eps) and o.key.attack == attack}
    for seed in sorted(clean.keys() & attacked.keys()):
        pair = clean[seed], attacked[seed]
        if all({"display", "display_labels"} <= run.arrays(cell).keys() for cell in pair):
            return pair
    return None


def _project(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Projects both sets of vectors by one t-SNE, to shape (2 m, 2), those before the attack first."""
    from openTSNE import TSNE  # takes a second, and many reports have no t-SNE

    if before.shape != after.shape or len(before) < 5:
        return None
    vectors = np.concatenate([before, after]).astype(np.float64)
    fitted = TSNE(
        perplexity=min(30.0, (len(vectors) - 1) / 3),
        metric="cosine" if np.linalg.norm(vectors, axis=1).all() else "euclidean",  # a zero has no direction
        neighbors="exact",
        negative_gradient_method="bh",
        early_exaggeration_iter=150,
        n_iter=350,
        initialization="pca",
        random_state=0,
        n_jobs=1,
    ).fit(vectors)
    return np.asarray(fitted)


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    for i, label in enumerate(np.unique(labels)):
        chosen = points[labels == label]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=34,
            color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)],
            alpha=0.8,
            linewidths=0.4,
            edgecolors="white",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#BBBBBB")


def _percent(cell: CellResult) -> str:
    return f"{100 * cell.metric('ami'):.1f} %"

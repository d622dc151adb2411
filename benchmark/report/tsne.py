"""Figure: where an attack moves the images of the classes that it hits worst, by t-SNE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.report.cell_results import CLUSTERING, CellResult, Run
from benchmark.report.labels import dagger_note
from benchmark.report.rows import Row, at_eps
from benchmark.report.style import MARKERS, PALETTE, budget, headline, new_figure, percent
from benchmark.report.tables import Table

NEIGHBOR = ("#9A9A9A", "h")
"""Color and marker of the classes that were not hit worst themselves."""


@dataclass(frozen=True)
class _Points:
    """What is drawn of one attacked cell.

    Attributes:
        before, after: embeddings of the same images, clean and attacked, shape (m, d).
        labels: their classes, shape (m,).
        hit: the classes hit worst, worst first; empty where a record does not say which these are.
        lost: the fraction of its images that each of these lost to other classes.
    """

    before: np.ndarray
    after: np.ndarray
    labels: np.ndarray
    hit: list[int]
    lost: list[float]


def tsne(run: Run, table: Table, row: Row) -> Figure | None:
    """Draws the classes that the worst attack on clustering hit worst, for the first seed that has them.

    Returns:
        None when no seed has the embeddings, or there are too few points.
    """
    found = _found(run, table, row)
    if found is None:
        return None
    clean, attacked, points = found
    places = _project(points.before, points.after)
    if places is None:
        return None
    figure = new_figure(11.2 if points.hit else 9.6, 5.6)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    before, after = np.split(places, 2)
    _scatter(left, before, points)
    right.add_collection(LineCollection(list(np.stack([before, after], axis=1)), **_TRACK))
    _scatter(right, after, points)
    for axes, when, cell in ((left, "Clean", clean), (right, "Attacked", attacked)):
        ami = percent(cell.metric("ami"), 1)
        axes.set_title(f"{when}: AMI of the whole pool {ami} %", fontsize=10, loc="left")
    if points.hit:
        beside: Any = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False}
        right.legend(handles=_handles(points), fontsize=8.5, **beside)
    headline(figure, _title(table, row, attacked, points), _note(table, row, attacked, points))
    return figure


_TRACK: dict[str, Any] = {"colors": "#444444", "linewidths": 0.5, "alpha": 0.35, "zorder": 1}


def _found(run: Run, table: Table, row: Row) -> tuple[CellResult, CellResult, _Points] | None:
    """The clean and the attacked clustering cell of the first seed that has embeddings of both."""
    attack = row.worst_attack(CLUSTERING, "ami")
    cells = [cell for cell in row.cells if cell.done and cell.key.scenario == CLUSTERING]
    clean = {cell.key.seed: cell for cell in cells if cell.ref.role == "clean"}
    attacked = {c.key.seed: c for c in cells if at_eps(c, table.key.eps) and c.key.attack == attack}
    for seed in sorted(clean.keys() & attacked.keys()):
        points = _points(run, clean[seed], attacked[seed])
        if points is not None:
            return clean[seed], attacked[seed], points
    return None


def _points(run: Run, clean: CellResult, attacked: CellResult) -> _Points | None:
    arrays = run.arrays(attacked)
    if {"hit_clean", "hit_attacked", "hit_labels", "hit_classes", "hit_lost"} <= arrays.keys():
        return _Points(
            arrays["hit_clean"],
            arrays["hit_attacked"],
            arrays["hit_labels"],
            arrays["hit_classes"].tolist(),
            arrays["hit_lost"].tolist(),
        )
    before = run.arrays(clean)  # records of earlier versions have the first classes of the pool only
    if all({"display", "display_labels"} <= of.keys() for of in (before, arrays)):
        return _Points(before["display"], arrays["display"], before["display_labels"], [], [])
    return None


def _project(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Projects both sets of vectors by one t-SNE, to shape (2 m, 2), those before the attack first.

    An image is no neighbor of its own clean version, which would hold it in place whatever the attack did.
    """
    from openTSNE import TSNE  # takes a second, and many reports have no t-SNE
    from openTSNE.initialization import pca

    if before.shape != after.shape or len(before) < 5:
        return None
    vectors = np.concatenate([before, after]).astype(np.float64)
    distances = _distances(vectors)
    own = np.arange(len(before))
    distances[own, own + len(before)] = distances[own + len(before), own] = distances.max()
    spread = np.ptp(vectors, axis=0).any()  # of one and the same vector there are no components
    fitted = TSNE(
        perplexity=min(30.0, (len(vectors) - 1) / 3),
        metric="precomputed",
        negative_gradient_method="bh",
        early_exaggeration_iter=150,
        n_iter=350,
        initialization=pca(vectors, random_state=0) if spread else "random",
        random_state=0,
        n_jobs=1,
    ).fit(distances)
    return np.asarray(fitted)


def _distances(vectors: np.ndarray) -> np.ndarray:
    """Distances by the cosine, shape (n, n); Euclidean ones where a vector is zero and has no direction."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directed = vectors / lengths if lengths.all() else vectors
    squared = (directed**2).sum(axis=1)
    distances = np.maximum(squared[:, None] + squared[None] - 2 * directed @ directed.T, 0.0)
    distances = distances / 2 if lengths.all() else np.sqrt(distances)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances)


def _scatter(axes: Axes, places: np.ndarray, points: _Points) -> None:
    for label in _classes(points)[::-1]:  # the classes hit worst lie on top
        chosen = places[points.labels == label]
        color, marker = _style(points, label)
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=34,
            color=color,
            marker=marker,
            alpha=0.85,
            linewidths=0.4,
            edgecolors="white",
            zorder=2,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#BBBBBB")


def _classes(points: _Points) -> list[int]:
    """The classes, those hit worst first."""
    return [*points.hit, *(label for label in np.unique(points.labels).tolist() if label not in points.hit)]


def _style(points: _Points, label: int) -> tuple[str, str]:
    """Color and marker of a class; where some were hit worst, only these have a color."""
    if points.hit and label not in points.hit:
        return NEIGHBOR
    index = _classes(points).index(label)
    return PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]


def _handles(points: _Points) -> list[Line2D]:
    named = [
        (label, f"class {label}, lost {percent(lost)} %")
        for label, lost in zip(points.hit, points.lost, strict=True)
    ]
    shown = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=text)
        for label, text in named
        for color, marker in [_style(points, label)]
    ]
    color, marker = NEIGHBOR
    return [*shown, Line2D([], [], color=color, marker=marker, linestyle="", label="their neighbors")]


def _title(table: Table, row: Row, attacked: CellResult, points: _Points) -> str:
    reach = budget(table.key.norm, table.key.eps)
    if not points.hit:
        return f"{row.name}: embeddings before and after {table.names.short(attacked.key.attack)} ({reach})"
    lost = percent(float(np.mean(points.lost)))
    if max(points.lost) <= 0:
        return f"{row.name} loses no image of any class to another under attack ({reach})"
    return (
        f"{row.name} loses {lost} % of the images of the {len(points.hit)} classes hit worst to other "
        f"classes ({reach})"
    )


def _note(table: Table, row: Row, attacked: CellResult, points: _Points) -> str:
    classes = len(np.unique(points.labels))
    which = f"the first {classes} classes of the pool"
    if points.hit:
        which = (
            f"{classes} classes: those that lost most images, by another class's clean center being nearer, "
            f"and where most of each went"
        )
    return (
        f"{table.trained}, seed {attacked.key.seed}; {table.names.short(attacked.key.attack)}. "
        f"{len(points.labels)} images of {which}. Lines: from the clean place. Both panels share one t-SNE, "
        f"which places an image by the others, not by its own clean version; it shows what is near, not how "
        f"far apart groups are.{dagger_note([row])}"
    )

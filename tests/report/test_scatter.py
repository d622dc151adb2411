"""Covariances of scores over images: those of fresh pools, and those of means over queries."""

import numpy as np
import pytest

from benchmark.core.mutual_information import adjusted_mutual_information
from benchmark.records.covariances import Covariances
from benchmark.report import scatter
from benchmark.report.scatter import covariances
from benchmark.report.worst_case import worst_queries

from .fake_run import FakeRun

CLOSE = {"a": 0.30, "b": 0.31, "far": 0.95}


def test_the_halves_scatter_as_fresh_pools_would():
    """The spread of AMI over half-samples is that over independent pools; a bootstrap's centre is far off."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(40), 10)

    def pool():
        return np.where(generator.random(400) < 0.5, generator.integers(0, 40, 400), labels)

    truth = np.array([adjusted_mutual_information(labels, pool()) for _ in range(200)])
    spreads, shifts = [], []
    for _ in range(8):
        one = pool()
        halves = [generator.permutation(400)[:200] for _ in range(60)]
        scattered = [adjusted_mutual_information(labels[half], one[half]) for half in halves]
        spreads.append(np.std(scattered))
        copies = generator.integers(0, 400, (20, 400))
        shifts.append(
            np.mean([adjusted_mutual_information(labels[i], one[i]) for i in copies])
            - adjusted_mutual_information(labels, one)
        )
    assert 0.7 < np.mean(spreads) / truth.std() < 1.4
    assert np.mean(shifts) > 3 * truth.std()


@pytest.fixture
def table(tables_of):
    run, (only,) = tables_of(FakeRun(weakness=CLOSE, references=(), seeds=(0, 1)))
    return run, only


def test_those_of_r1_are_those_of_means_over_queries(table):
    run, only = table
    found = covariances(run, only.rows, "r1")
    means = np.stack(
        [
            np.mean([worst_queries(run, row.retrieval_cells(seed)) for seed in (0, 1)], axis=0)
            for row in only.rows
        ]
    )
    n = means.shape[1]
    assert found.freedom == n - 1 and set(found.own) == {(0.0, 1)}
    generator = np.random.default_rng(0)
    drawn = [means[:, generator.integers(0, n, n)].mean(axis=1) for _ in range(4000)]
    np.testing.assert_allclose(found.matrix, np.cov(np.stack(drawn).T), atol=0.1 * np.max(found.matrix))


def test_those_of_ami_do_not_depend_on_the_other_rows(table):
    run, only = table
    found = covariances(run, only.rows, "ami")
    assert found.freedom == scatter.REPLICATES - 1
    assert np.shape(found.matrix) == (3, 3) and np.linalg.eigvalsh(found.matrix).min() > -1e-12
    part = covariances(run, only.rows[1:], "ami")
    np.testing.assert_allclose(part.matrix, np.array(found.matrix)[1:, 1:], rtol=1e-12)


def test_of_one_training_seed_the_k_means_seeds_are_a_part_of_their_own(tables_of):
    run, (only,) = tables_of(FakeRun(weakness=CLOSE, references=(), seeds=(0,)))
    row = only.rows[0]
    arrays = run.arrays(row.seeds[0].worst_cell)
    values = [adjusted_mutual_information(arrays["labels"], one) for one in arrays["assignments"]]
    found = covariances(run, only.rows, "ami").own[0]
    assert found == (pytest.approx(np.var(values, ddof=1) / len(values)), len(values) - 1)


@pytest.mark.parametrize("metric", ["ami", "r1"])
def test_rows_without_arrays_are_left_out(table, metric, monkeypatch):
    run, only = table
    lost = {cell.ref.id for cell in only.rows[0].cells}
    read = run.arrays
    monkeypatch.setattr(run, "arrays", lambda cell: {} if cell.ref.id in lost else read(cell))
    monkeypatch.setattr(
        scatter,
        "worst_queries",
        lambda run, cells: None if cells[0].ref.id in lost else worst_queries(run, cells),
    )
    assert covariances(run, only.rows, metric).rows == [row.defense for row in only.rows[1:]]
    assert covariances(run, only.rows[:1], metric) == Covariances()

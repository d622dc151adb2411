import pytest

from benchmark.planning.budgets import multiple


@pytest.mark.parametrize(
    ("eps", "factor", "expected"),
    [(0.1, 3, 0.3), (0.1, 0.5, 0.05), (8 / 255, 2, 16 / 255), (8 / 255, 0.5, 4 / 255), (1.5, 2, 3.0)],
)
def test_a_multiple_of_a_budget_is_written_as_one_would(eps, factor, expected):
    assert multiple(eps, factor, []) == expected
    assert multiple(eps, factor, [expected + 1e-10]) == expected + 1e-10

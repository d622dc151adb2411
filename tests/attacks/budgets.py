"""Budgets of the tests."""


def in_norm(eps, norm):
    """Returns eps, and for l0 a hundred times as many pixels: of an image of 8 x 8, a tenth has 64."""
    return float(max(1, round(100 * eps))) if norm == "l0" else eps

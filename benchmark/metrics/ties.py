"""The rule for ties: when similarities count as equal, and whom a tie counts against."""

from __future__ import annotations

TIE_TOLERANCE = 1e-9
"""Similarities within this distance are tied: a positive counts as this much less similar than it is.

The computed values of similarities that are equal in exact arithmetic (those of duplicates, or of orthogonal
vectors) differ by about 1e-15 in float64. Which is larger depends on the order of summation, and so on the
machine and on the shape of the product. With a tolerance far above that, every tied negative precedes the
positive, wherever the similarity lies; rounding to a grid would separate ties on both sides of a boundary.
Other similarities are rarely this close: float32 embeddings resolve about 6e-8.
"""

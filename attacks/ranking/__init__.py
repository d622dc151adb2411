"""Robrank's ranking attacks: the ten measures of its empirical robustness score, and two beside it."""

from attacks.ranking.base import MEASURES, PUBLISHED, Measure
from attacks.ranking.candidate import CAMinus, CAPlus
from attacks.ranking.embedding import ES, TMA
from attacks.ranking.hub import HubMeasure
from attacks.ranking.misrank import GTM, LTM
from attacks.ranking.order import Order
from attacks.ranking.query import GTT, QAMinus, QAPlus
from attacks.ranking.robrank import Robrank, measure_of

__all__ = [
    "ES",
    "GTM",
    "GTT",
    "LTM",
    "MEASURES",
    "PUBLISHED",
    "TMA",
    "CAMinus",
    "CAPlus",
    "HubMeasure",
    "Measure",
    "Order",
    "QAMinus",
    "QAPlus",
    "Robrank",
    "measure_of",
]

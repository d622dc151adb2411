"""Train one model with one defense."""

from benchmark.training.inner import TrainingAttack
from benchmark.training.loop import train
from benchmark.training.recipe import Recipe
from benchmark.training.savepoint import SavePoint
from benchmark.training.validation import Validator

__all__ = ["Recipe", "SavePoint", "TrainingAttack", "Validator", "train"]

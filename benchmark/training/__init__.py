"""Training one model by one defense."""

from benchmark.training.inner import TrainingAttack
from benchmark.training.loop import Trained, train
from benchmark.training.recipe import Recipe
from benchmark.training.savepoint import SavePoint
from benchmark.training.validation import Look, Validation

__all__ = ["Look", "Recipe", "SavePoint", "Trained", "TrainingAttack", "Validation", "train"]

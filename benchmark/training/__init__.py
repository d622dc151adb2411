"""Training one model by one defense."""

from benchmark.training.inner import TrainingAttack
from benchmark.training.loop import Trained, train
from benchmark.training.recipe import Recipe

__all__ = ["Recipe", "Trained", "TrainingAttack", "train"]

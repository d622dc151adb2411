"""Loggers: what a run measures, written for the tools of others, in a registry; `--log NAME`."""

from benchmark.loggers import tensorboard, wandb  # noqa: F401 (importing them registers them)
from benchmark.loggers.base import LOGGERS, LogWriter, RunLogger
from benchmark.loggers.from_records import log_cell, log_training

__all__ = ["LOGGERS", "LogWriter", "RunLogger", "log_cell", "log_training"]

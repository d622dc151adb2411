"""Imports what nearly every job needs, once, in the process that workers are forked from.

The project imports these libraries where they are used, so that commands that compute nothing start fast. A
worker that had to do so would import them again after each fork.
"""

import faiss  # noqa: F401
import pytorch_metric_learning.losses
import pytorch_metric_learning.miners
import scipy.special
import sklearn.cluster
import sklearn.metrics
import torch.utils.flop_counter  # noqa: F401

import benchmark.jobs  # noqa: F401

"""Imports what nearly every job needs, once, in the process that workers are forked from.

The project imports these libraries where they are used, so that commands that compute nothing start fast; a
worker would import them again after each fork. Left to the workers is what only photographs need, and to
`preload_training` what only trainings do.
"""

# ruff: noqa: F401
import gc

gc.disable()  # to look for garbage among what stays takes a fifth of the time of these imports and more

try:
    import faiss
    import pytorch_metric_learning.losses
    import pytorch_metric_learning.miners
    import scipy.special
    import sklearn.metrics
    import torch.utils.flop_counter

    import benchmark.jobs
finally:
    gc.freeze()  # nor do workers look there
    gc.enable()

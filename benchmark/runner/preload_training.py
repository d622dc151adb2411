"""Imports what `preload` does, and what optimizers import at their first step, which takes as long."""

# ruff: noqa: F401
import gc

import benchmark.runner.preload

gc.disable()
try:
    import torch._dynamo
finally:
    gc.freeze()
    gc.enable()

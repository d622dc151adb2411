"""The result of an attack, collected batch by batch, and saved on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from attacks.base import AttackResult
from attacks.geometry import largest_change, per_image
from attacks.problem import Problem
from attacks.save_point import HasState, Stateful
from benchmark.core.nested_tensors import can_be_packed

_T = TypeVar("_T")

ZERO = 1e-4
"""A gradient is zero in effect where it promises less of the objective's spread than this, over the ball."""


class ResultBuilder:
    """Collects attacked images, objective values and zero gradients of an attack, batch by batch.

    The attacked pool is allocated at the first write, because attacks that move all batches jointly need the
    memory until then.

    An attack whose outer loop is over `unfinished` or `remaining`, and whose inner loop may be over `steps`,
    is saved on the way where its problem has a save point, and resumes from there with the same result.

    Args:
        problem: the attack's task.

    Attributes:
        batches: indices in the pool of each batch's images; together they are `problem.perturbed`.
        execution: how the steps were computed, as in `AttackResult`.
        rating: how good what is written is as a whole, where an attack compares pools; None before.
    """

    def __init__(self, problem: Problem) -> None:
        self.batches = problem.batches(problem.perturbed)
        self.execution = "eager"
        self.rating: float | None = None
        self._problem = problem
        self._written: list[int] = []
        self._done = 0
        self._running: dict[str, Any] | None = None
        self._images: Tensor | None = None
        self._values: list[Tensor | None] = [None] * len(self.batches)
        self._first_steps: list[Tensor] = []

    @property
    def values(self) -> Tensor | None:
        """Objective values of the perturbed images, shape (t,); None before all were written."""
        written = [values for values in self._values if values is not None]
        return self._problem.in_order(written) if len(written) == len(self.batches) else None

    def write(self, batch: int, images: Tensor, values: Tensor | None = None) -> None:
        """Writes the attacked images of one batch, replacing what was written before.

        Args:
            batch: position in `batches`.
            images: shape (b, C, H, W).
            values: objective values, shape (b,); None for attacks without an objective.
        """
        if self._images is None:
            self._images = self._problem.empty_pool()
        self._problem.write_batch(self._images, self.batches[batch], images)
        self._values[batch] = values
        if batch not in self._written:
            self._written.append(batch)

    def write_better(self, batch: int, images: Tensor, values: Tensor) -> None:
        """Writes those attacked images of one batch whose values exceed the values written before."""
        previous = self._values[batch]
        if previous is not None:
            best = Best(self._problem.get_batch(self.batches[batch], self._images), previous)
            best.add(images, values)
            images, values = best.images, best.values
        self.write(batch, images, values)

    def add_first_step(self, gradient: Tensor, values: Tensor) -> None:
        """Keeps what the first gradient of each image of a batch promises, to count those that are zero.

        Args:
            gradient: shape (b, C, H, W).
            values: the objective's values there, shape (b,).
        """
        promised = largest_change(gradient.detach(), self._problem.norm, self._problem.eps)
        self._first_steps.append(torch.stack([promised.float(), values.detach().float()]))

    def result(self) -> AttackResult:
        """Returns the result; every batch must have been written."""
        assert self._images is not None
        zero_gradient = None
        if self._first_steps:  # looked at only now: a look at each batch would wait for the device
            promised, values = torch.cat(self._first_steps, dim=1).cpu().double().unbind()
            smallest = ZERO * values.std(correction=0)
            zero_gradient = float((promised <= smallest).double().mean())
        return AttackResult(self._images, self.values, zero_gradient, self.execution)

    def unfinished(self) -> Iterator[tuple[int, Tensor]]:
        """Yields each batch that is not done: its position in `batches` and its indices, shape (b,)."""
        for batch in self.remaining(range(len(self.batches))):
            yield batch, self.batches[batch]

    def remaining(self, items: Sequence[_T]) -> Iterator[_T]:
        """Yields those items of the attack's outer loop that are not done, such as batches or restarts.

        Args:
            items: all items, the same each time that the attack is run.
        """
        self._done, self._running = 0, None
        self._resume()
        while self._done < len(items):
            yield items[self._done]
            self._done += 1
            self._save(None)

    def steps(self, count: int, parts: Sequence[object]) -> Iterator[int]:
        """Yields the steps, from 0 on, of one item of the outer loop that are not done.

        Args:
            count: number of steps.
            parts: all that the steps depend on and change, made as for the first step; an attack that resumes
                loads their states. If one has none (see `HasState`), nothing is saved between steps.
        """
        stateful = [part for part in parts if isinstance(part, HasState)]
        first = 0
        if self._running is not None:
            first = self._running["step"]
            for part, state in zip(stateful, self._running["parts"], strict=True):
                part.load_state_dict(state)
            self._running = None
            self._rewind()
        for step in range(first, count):
            yield step
            if len(stateful) == len(parts):
                self._save((step + 1, stateful))

    def _save(self, running: tuple[int, Sequence[HasState]] | None) -> None:
        """Saves what is written when that is due, with the number of steps done of the running item."""
        save_point = self._problem.save_point
        if save_point is None or not save_point.due():
            return
        state = {
            "done": self._done,
            "running": running and {"step": running[0], "parts": [part.state_dict() for part in running[1]]},
            "written": self._written,
            "values": self._values,
            "first_steps": self._first_steps,
            "execution": self.execution,
            "rating": self.rating,
            "embedded": "clean" in vars(self._problem),
        }
        if can_be_packed(state):
            save_point.save(state, self._images_so_far())

    def _images_so_far(self) -> Tensor | None:
        """Returns the attacked images of the batches written so far, in that order, or the whole pool."""
        if self._images is None or self._problem.attacked is None:
            return self._images  # a copy may be as large as the pool
        index = torch.cat([self.batches[batch] for batch in self._written])
        return self._images[index.to(self._images.device)]

    def _resume(self) -> None:
        """Restores what was written before the attack was interrupted."""
        found = None if self._problem.save_point is None else self._problem.save_point.read()
        if found is None:
            return
        state, images = found
        if state["embedded"]:
            _ = self._problem.clean  # now, since its cost and its random numbers came before the save
        self._done, self._running = state["done"], state["running"]
        self._values = state["values"]
        self._first_steps = state["first_steps"]
        self._written, self.execution = state["written"], state["execution"]
        self.rating = state["rating"]
        if images is not None:
            self._images = self._problem.empty_pool()
            if self._problem.attacked is None:
                self._images.copy_(images)
            else:
                parts = images.split([len(self.batches[batch]) for batch in self._written])
                for batch, part in zip(self._written, parts, strict=True):
                    self._problem.write_batch(self._images, self.batches[batch], part)
        if self._running is None:
            self._rewind()

    def _rewind(self) -> None:
        if self._problem.save_point is not None:
            self._problem.save_point.rewind()


class Best(Stateful):
    """The best iterates of a batch so far.

    Attributes:
        images: the iterate of the highest objective value of each image, shape (b, C, H, W).
        values: these values, shape (b,).
    """

    def __init__(self, images: Tensor, values: Tensor) -> None:
        self.images = images.clone()
        self.values = values

    def add(self, images: Tensor, values: Tensor) -> None:
        """Keeps those iterates whose values are higher than the best so far."""
        better = (values > self.values).to(images.dtype)
        # With weights of exactly 0 and 1 `lerp` selects exactly, several times as fast as `where` on a CPU.
        self.images.lerp_(images, per_image(better, images))
        self.values = torch.maximum(values, self.values)

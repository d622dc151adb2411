"""The search for the parameters of one defense: which values to try next, given the scores so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from benchmark.core.errors import UsageError
from benchmark.core.spec import format_spec, parse_spec
from defenses import DEFENSES, Defense, Range

_RANDOM = 4
"""Trials before the sampler learns; a fixed number, so that longer searches begin as shorter ones do."""

_DRAWS = 50
"""Draws in search of an untried model; after so many without success, every value counts as tried."""


class Search:
    """Proposes defenses one after another, by a tree-structured Parzen estimator; the default comes first.

    The same scores lead to the same proposals, so an interrupted search resumes when its scores are reported
    again. Values are rounded to three digits, so that a spec names the model exactly.

    Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization, section 4; as in Optuna.

    Args:
        text: spec of the defense; parameters that it gives are not searched.
        seed: of the sampler.

    Attributes:
        label: canonical spec with all that is fixed, even where it is the default.
        free: the parameters that are searched.

    Raises:
        UsageError: for a bad spec, or when a range or choice leaves out the parameter's default.
    """

    def __init__(self, text: str, seed: int) -> None:
        self._default = DEFENSES.build(text)
        self._fixed = {key: getattr(self._default, key) for key in parse_spec(text).parameters}
        self._name = self._default.name
        self.label = format_spec(self._name, self._fixed)
        self.free: Mapping[str, Range | tuple[Any, ...]] = {
            key: values for key, values in self._default.tunable.items() if key not in self._fixed
        }
        start = {key: self._start(key, values) for key, values in self.free.items()}
        sampler = TPESampler(seed=seed, n_startup_trials=_RANDOM)
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # else each study and trial writes a line
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial(start)
        self._scores: dict[str, float | None] = {}
        self._open: dict[str, optuna.Trial] = {}

    def _start(self, key: str, values: Range | tuple[Any, ...]) -> Any:
        if key not in type(self._default).model_fields:
            raise UsageError(f"{self._name}: tunable names '{key}', which is not one of its parameters.")
        value = getattr(self._default, key)
        if isinstance(values, Range):
            known = isinstance(value, int | float) and values.low <= value <= values.high
        else:
            known = value in values
        if not known:
            raise UsageError(f"{self._name}: tunable leaves out the default of '{key}', {value}.")
        return value

    def _draw(self, trial: optuna.Trial) -> Defense:
        """Draws a value for every free parameter; UsageError when the values do not fit together."""
        drawn: dict[str, Any] = {}
        for key, values in self.free.items():
            if not isinstance(values, Range):
                drawn[key] = trial.suggest_categorical(key, values)
            elif isinstance(getattr(self._default, key), int):
                drawn[key] = trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
            else:
                exact = trial.suggest_float(key, values.low, values.high, log=values.log)
                first = not self._scores and not self._open  # the default stays what it is, digit by digit
                rounded = exact if first else float(f"{exact:.3g}")
                drawn[key] = min(max(rounded, values.low), values.high)
        return DEFENSES.build(format_spec(self._name, {**self._fixed, **drawn}))

    def ask(self) -> str | None:
        """Proposes a defense that was not tried yet, as its canonical spec; None when there is none left.

        A drawn defense that was tried before gets its score again, and values that do not fit together count
        as failed; neither counts as a trial.
        """
        for _ in range(_DRAWS if self.free else 1):
            trial = self._study.ask()
            try:
                spec = self._draw(trial).spec
            except UsageError:
                self._report(trial, None)
                continue
            if spec not in self._scores:
                self._open[spec] = trial
                return spec
            self._report(trial, self._scores[spec])
        return None

    def report(self, spec: str, score: float | None) -> None:
        """Passes the score of a proposed defense to the sampler; None when its training failed."""
        self._scores[spec] = score
        self._report(self._open.pop(spec), score)

    def _report(self, trial: optuna.Trial, score: float | None) -> None:
        if score is None:  # pruned, not failed: the sampler then keeps away from such values
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, score)

"""The contract of one kind of class: its checks, with that of the spec, which every kind has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from benchmark.core.parameters import Parameters
from benchmark.core.seeding import seed_everything
from benchmark.core.spec import parse_spec
from benchmark.data import Folders
from benchmark.evaluation.conformance.contract_check import ContractCheck, ContractError
from benchmark.evaluation.conformance.settings import read_generators, read_settings, restore

P = TypeVar("P", bound=Parameters)
F = TypeVar("F")

SPEC_WANTED = "It can be rebuilt from its spec."
SPEC_ADVICE = "Annotate parameters with types that can be written as text: numbers, words, true or false."
SETTINGS_WANTED = "Settings of the whole process are not changed, and no generator is seeded."
SETTINGS_ADVICE = (
    "Use a context manager instead, such as torch.no_grad(), and a generator of its own for draws that must "
    "be the same each time: torch.Generator().manual_seed(...)."
)


def _check_spec(component: Parameters) -> None:
    """Raises ContractError unless the spec, which is all that a worker receives, builds an equal object."""
    if not component.name:  # a class that is not registered has no spec yet
        return
    if type(component).from_spec(parse_spec(component.spec)) != component:
        raise ContractError(f"'{component.spec}' gives another {component.name}")


def _check_settings(use: Callable[[], object]) -> None:
    """Raises ContractError when a call changes a setting of the process, or seeds a random generator."""
    changes, states = [], []
    for seed in (1, 2):
        seed_everything("conformance-settings", seed)
        before = read_settings()
        use()
        changes.append(restore(before))
        states.append(read_generators())
    # Twice, because a package imported by the component may change a setting on import.
    changed = [name for name in changes[0] if name in changes[1]]
    if changed:
        raise ContractError(f"it changes {' and '.join(changed)}")
    seeded = [name for name, state in states[0].items() if state == states[1][name]]
    if seeded:
        raise ContractError(f"it seeds the generator of {' and '.join(seeded)}")


class Contract(Generic[P, F]):
    """The checks of one kind of class, of which the first is always that of the spec.

    Args:
        base: the class that every class of the kind derives from.
        make_fixture: returns what each check receives, from the component under test and the data folders.

    Attributes:
        checks: every check by name, in the order in which they run.
    """

    def __init__(self, base: type[P], make_fixture: Callable[[P, Folders], F]) -> None:
        self.base = base
        self._make_fixture = make_fixture
        spec = ContractCheck(
            "spec", SPEC_WANTED, SPEC_ADVICE, _check_spec, lambda component, folders: component
        )
        self.checks: dict[str, ContractCheck] = {spec.name: spec}

    def check(
        self,
        wanted: str,
        advice: str,
        after: tuple[str, ...] = (),
        exempt: Callable[[P], str | None] = lambda component: None,
    ) -> Callable[[Callable[[F], None]], Callable[[F], None]]:
        """Returns a decorator that adds a function under its own name; see `ContractCheck`."""

        def decorate(examine: Callable[[F], None]) -> Callable[[F], None]:
            name = examine.__name__
            self.checks[name] = ContractCheck(
                name, wanted, advice, examine, self._make_fixture, after, exempt
            )
            return examine

        return decorate

    def check_settings(
        self, after: tuple[str, ...]
    ) -> Callable[[Callable[[F], Callable[[], object]]], Callable[[F], Callable[[], object]]]:
        """Returns a decorator that adds the check `leaves_settings`.

        Args:
            after: names of the checks that must have passed.

        Returns:
            A decorator of a function that prepares, from the fixture, a call which uses the component.
        """

        def decorate(prepare: Callable[[F], Callable[[], object]]) -> Callable[[F], Callable[[], object]]:
            def leaves_settings(fixture: F) -> None:
                _check_settings(prepare(fixture))

            self.check(SETTINGS_WANTED, SETTINGS_ADVICE, after)(leaves_settings)
            return prepare

        return decorate

"""What the tests of every kind read of a contract's results."""

from benchmark.evaluation.conformance import run_contract


def failures(given, folders=None):
    """The failures of a component, by the name of the check."""
    return {result.check.name: result.failure for result in run_contract(given, folders) if result.failure}


def skipped(given, folders=None):
    """Why checks of a component were skipped, by the name of the check."""
    return {result.check.name: result.skipped for result in run_contract(given, folders) if result.skipped}

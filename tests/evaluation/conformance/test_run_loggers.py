"""Each check of the contract of loggers fails for a logger that breaks it."""

import random
import time
from typing import ClassVar

import pytest

from benchmark.evaluation.conformance.run_loggers import LOGGER
from benchmark.loggers import LOGGERS, RunLogger

from .results import failures, skipped


class Lines:
    """Writes a line for each value."""

    def __init__(self, path, mode="a"):
        self.file = path.open(mode)

    def curve(self, tag, values):
        for epoch, value in values.items():
            self.file.write(f"{tag} {epoch} {value}\n")

    def value(self, tag, value):
        self.file.write(f"{tag} {value}\n")

    def close(self):
        self.file.close()


class Sound(RunLogger):
    """A sound logger."""

    name = "sound"
    digits: int = 3

    def open(self, output, config):
        return Lines(output / "log.txt")


class Named(Sound):
    """A folder for each run, by its second, and a file that is written anew."""

    def open(self, output, config):
        folder = output / time.strftime("%H%M%S")
        folder.mkdir()
        (output / "state.txt").write_text("x" * random.randint(1, 99))
        return Lines(folder / "log.txt")


class OtherSpec(Sound):
    @property
    def spec(self):
        return "sound[digits=2]"


class OnlyAFile(Sound):
    def open(self, output, config):
        return (output / "log.txt").open("a")


class NoFolder(Sound):
    def open(self, output, config):
        return Lines(output / "logs" / "log.txt")


class OnlyOnce(Sound):
    def open(self, output, config):
        return Lines(output / "log.txt", "x")


class Forgetting(Sound):
    def open(self, output, config):
        for path in output.glob("*.txt"):
            path.unlink()
        return Lines(output / f"{random.random()}.txt")


class NoWords(Sound):
    def open(self, output, config):
        writer = Lines(output / "log.txt")
        writer.value = lambda tag, value: float(tag)
        return writer


class Seeding(Sound):
    def open(self, output, config):
        random.seed(0)
        return super().open(output, config)


BROKEN = [
    (OtherSpec, "spec", "gives another sound"),
    (OnlyAFile, "opens", "open returns TextIOWrapper, which has no curve and no value"),
    (NoFolder, "opens", "FileNotFoundError"),
    (OnlyOnce, "again", "FileExistsError"),
    (Forgetting, "again", "takes away what the first has written"),
    (NoWords, "again", "could not convert"),
    (Seeding, "leaves_settings", "the generator of Python"),
]


@pytest.mark.parametrize(("logger", "check", "message"), BROKEN)
def test_a_broken_logger_fails_exactly_its_check(logger, check, message):
    found = failures(logger)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_loggers_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(LOGGER.checks)


def test_a_logger_without_its_package_is_not_checked():
    class Lacking(Sound):
        package: ClassVar = "no_such_package"

    assert failures(Lacking) == {}
    assert "no_such_package is not installed" in skipped(Lacking)["opens"]


@pytest.mark.parametrize("logger", [Sound, Named, *map(LOGGERS.build, LOGGERS.names())])
def test_sound_loggers_fail_no_check(logger):
    assert failures(logger) == {}

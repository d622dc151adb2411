"""Proof that a worker has the plugins of its run: a digest of their files, taken when they were loaded."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from benchmark.core.errors import SourceError, UsageError
from benchmark.plugins.load import installed_modules, module_name
from benchmark.plugins.users_files import users_files


@cache
def plugins_digest(paths: tuple[Path, ...]) -> str:
    """Hashes the files of plugins that this process has loaded, as they are at the first call.

    Args:
        paths: the plugin files; what installed packages offer counts as well.
    """
    files = {file for path in paths for file in users_files(module_name(path))}
    for module in installed_modules():
        with suppress(UsageError):  # a package in an archive has no files; only its own rows need them
            files |= users_files(module)
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name} {path}".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_plugins(paths: tuple[Path, ...], expected: str) -> None:
    """Refuses to compute with other plugins than those of the process that started the run.

    Args:
        paths: the plugin files.
        expected: that process's digest; empty where it took none.

    Raises:
        SourceError: when this process has loaded other files.
    """
    if expected and expected != plugins_digest(paths):
        raise SourceError(
            "A plugin's files changed after the run was started: a worker has other code than was planned. "
            "Start the run again; what is done is kept."
        )

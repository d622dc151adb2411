import os
import subprocess
import sys
import time

import pytest

from benchmark.core.files import replacing
from benchmark.core.unfinished import (
    UNFINISHED,
    remove_unfinished,
    temporary_folder,
    unfinished_prefix,
)

WRITE = """
import sys
from pathlib import Path
from benchmark.core.files import replacing
from benchmark.core.unfinished import temporary_folder
with replacing(Path(sys.argv[1]) / "file"), temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "inside").write_text("half")
    print(flush=True)
    sys.stdin.read()
"""
DAYS = 2 * 86_400


def age(path, seconds=DAYS):
    os.utime(path, (time.time() - seconds,) * 2)


def left(folder):
    return sorted(path.name for path in folder.glob(f"{UNFINISHED}*"))


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_kept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    writing = left(tmp_path)
    assert len(writing) == 2
    for name in writing:
        age(tmp_path / name)
    remove_unfinished(tmp_path)
    assert left(tmp_path) == writing  # however old it is
    process.kill()
    process.communicate()
    remove_unfinished(tmp_path)
    assert left(tmp_path) == []


def test_another_process_with_the_number_of_a_dead_one_does_not_count(tmp_path):
    machine, pid, started, _ = unfinished_prefix().removeprefix(UNFINISHED).split("-")
    if started == "0":
        pytest.skip("this system does not say when a process started")
    earlier = tmp_path / f"{UNFINISHED}{machine}-{pid}-{int(started) - 1}-x"
    earlier.write_text("")
    with replacing(tmp_path / "file") as own:
        remove_unfinished(tmp_path)
        assert left(tmp_path) == [own.name]


@pytest.mark.parametrize("name", ["old", "0123abcd-1-2-x", "0123abcd-1", "--"])
def test_what_an_unknown_process_left_is_removed_after_a_day(tmp_path, name):
    unknown = tmp_path / f"{UNFINISHED}{name}"
    unknown.mkdir()
    (unknown / "inside").write_text("half")
    (tmp_path / "old").mkdir()
    age(tmp_path / "old")
    age(unknown, 7200)
    remove_unfinished(tmp_path)
    assert unknown.exists()
    age(unknown)
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_temporary_folder_goes_with_its_block(tmp_path):
    with temporary_folder(tmp_path) as folder:
        (folder / "inside").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_process_goes_when_it_ends_or_is_killed(tmp_path):
    code = "import sys; from benchmark.core.unfinished import process_folder as f; print(f(), flush=True)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert killed.stdout.readline().startswith(bytes(tmp_path))
    assert len(left(tmp_path)) == 1
    killed.kill()
    killed.communicate()
    assert len(left(tmp_path)) == 1
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert left(tmp_path) == []

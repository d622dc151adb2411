import os
import stat
import time

import pytest

from benchmark.core.files import replacing, write_atomically
from benchmark.core.unfinished import remove_unfinished


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def broken(temporary):
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, broken)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_is_made_and_others_may_read(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, lambda temporary: temporary.write_text("text"))
    assert path.read_text() == "text"
    assert path.stat().st_mode & stat.S_IRGRP


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    (tmp_path / "kept").write_text("")
    with replacing(tmp_path / "file") as temporary:
        leftover = tmp_path / f"{temporary.name}2"
        leftover.write_text("half")
        remove_unfinished(tmp_path)
        assert leftover.exists()  # it may be another process's, still writing
        old = time.time() - 7200
        os.utime(leftover, (old, old))
        remove_unfinished(tmp_path)
        assert not leftover.exists() and temporary.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept"]


def test_old_folders_are_removed_with_what_is_in_them(tmp_path):
    for name in (".writing-old", ".writing-new", "old"):
        (tmp_path / name / "inside").mkdir(parents=True)
    for name in (".writing-old", "old"):
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-new", "old"]

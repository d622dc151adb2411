import errno
import stat

import pytest

from benchmark.core.errors import StorageFullError
from benchmark.core.files import set_aside, stop_when_full, write_atomically


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


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def rust(*_):
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("write", [full, rust])
def test_a_full_disk_ends_the_run_and_names_the_file(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(StorageFullError, match=rf"^{path} cannot be written: the disk is full. Make room"):
        write_atomically(path, write)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_quota_is_a_full_disk_and_other_errors_pass():
    with pytest.raises(StorageFullError, match="the disk quota is used up"):
        stop_when_full(OSError(errno.EDQUOT, "Disk quota exceeded", "name"))
    with pytest.raises(StorageFullError, match="it would be larger than files may be"):
        stop_when_full(OSError(errno.EFBIG, "File too large", "name"))
    stop_when_full(OSError(errno.EACCES, "Permission denied"))
    stop_when_full(ValueError("28"))


def test_errors_name_the_file_and_not_a_temporary_one(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path / "file", lambda temporary: temporary.write_text("text"))
    assert caught.value.filename == str(tmp_path / "file")

    def reads_another(_):
        (tmp_path / "other").read_text()

    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "new", reads_another)
    assert caught.value.filename == str(tmp_path / "other")


def test_what_is_set_aside_is_kept_under_another_name(tmp_path, capsys):
    path = tmp_path / "file"
    for text in ("one", "two"):
        path.write_text(text)
        set_aside(path, "it is empty")
    path.mkdir()
    set_aside(path, "a folder is in its place")
    set_aside(path, "another process was faster")
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        "file.damaged",
        "file.damaged-2",
        "file.damaged-3",
    ]
    assert (tmp_path / "file.damaged-2").read_text() == "two"
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"warning: {path} is damaged (it is empty): renamed to file.damaged, and made again."
    assert len(rest) == 2

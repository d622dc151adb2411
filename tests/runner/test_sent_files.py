from benchmark.core.unfinished import unfinished_prefix
from benchmark.runner.sent_files import apply_changes, changes_since, snapshot, write_file


def test_what_a_job_wrote_comes_back_in_the_order_of_writing(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for name in ("needed", "replaced", "removed"):
        write_file(there / "store" / name, b"before")
        write_file(here / "store" / name, b"before")
    before = snapshot(there)
    write_file(there / "z" / "arrays", b"first")
    write_file(there / "a" / "record", b"second")
    write_file(there / "store" / "replaced", b"before")  # with the same content
    (there / "store" / "removed").unlink()
    (there / f"{unfinished_prefix()}x").write_bytes(b"torn")
    changes = changes_since(there, before)
    assert [name for name, _ in changes.written] == ["z/arrays", "a/record", "store/replaced"]
    assert changes.removed == ("store/removed",)
    apply_changes(changes, here)
    assert {name: (here / name).read_bytes() for name in snapshot(here)} == {
        "z/arrays": b"first",
        "a/record": b"second",
        "store/needed": b"before",
        "store/replaced": b"before",
    }


def test_a_file_that_is_gone_here_too_may_be_removed(tmp_path):
    (tmp_path / "there").mkdir()
    changes = changes_since(tmp_path / "there", {"store/gone": (0, 0, 0)})
    apply_changes(changes, tmp_path)
    assert changes.removed == ("store/gone",)

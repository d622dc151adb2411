import json
import sys

from benchmark.core.own_line import own_line


def raised(path, text):
    """Runs a file that fails, and returns the error."""
    path.write_text(text)
    try:
        exec(compile(text, str(path), "exec"), {"__name__": "own"})
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_the_last_own_line_is_found_not_the_librarys(tmp_path):
    path = tmp_path / "mine.py"
    error = raised(path, "import json\n\ndef f():\n    json.loads('x')\n\nf()\n")
    assert isinstance(error, json.JSONDecodeError)
    assert own_line(error, [str(path)]) == (path, 4)


def test_a_file_beside_it_is_its_own_an_installed_one_is_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    monkeypatch.syspath_prepend(installed)
    (installed / "own_line_lib.py").write_text("def fail():\n    1 / 0\n")
    helper = tmp_path / "own_line_helper.py"
    helper.write_text("import own_line_lib\n\n\ndef fail():\n    own_line_lib.fail()\n")
    path = tmp_path / "mine.py"
    error = raised(path, "import own_line_helper\nown_line_helper.fail()\n")
    assert own_line(error, [str(path)]) == (helper, 5)
    assert own_line(error, [str(installed / "own_line_lib.py")]) == (installed / "own_line_lib.py", 2)
    for name in ("own_line_helper", "own_line_lib"):
        sys.modules.pop(name)


def test_a_package_is_owned_as_a_whole(tmp_path):
    package = tmp_path / "pack"
    (package / "sub").mkdir(parents=True)
    for folder in (package, package / "sub"):
        (folder / "__init__.py").write_text("")
    error = raised(package / "other.py", "1 / 0\n")
    (package / "sub" / "mine.py").write_text("")
    assert own_line(error, [str(package / "sub" / "mine.py")]) == (package / "other.py", 1)


def test_there_is_none_where_only_others_failed(tmp_path):
    error = raised(tmp_path / "other.py", "1 / 0\n")
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "mine.py"
    path.write_text("")
    assert own_line(error, [str(path)]) is None


def test_a_cell_of_a_notebook_is_found_by_its_name():
    try:
        exec(compile("\n1 / 0\n", "<ipython-input-3>", "exec"), {})
    except ZeroDivisionError as error:
        assert own_line(error, ["<ipython-input-3>"]) is not None
        assert own_line(error, ["<ipython-input-3>"]).line == 2

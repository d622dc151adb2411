import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.output import SafeStream, is_terminal, printable, protected_streams, say, warn


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError

    def isatty(self):
        raise ValueError("I/O operation on closed file")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Broken(), closed()])
def test_what_a_stream_does_not_take_is_no_error(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    say("one", "two")
    warn("one")
    assert not is_terminal(sys.stdout)
    with protected_streams(whole_process=False):
        print("from a plugin", flush=True)
        sys.stdout.close()
    assert sys.stdout is stream


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("cp1252", "\\u30c7 é ≤\n".replace("≤", "\\u2264")), ("ascii", "\\u30c7 \\xe9 \\u2264\n")],
)
def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch, encoding, written):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    say("デ é ≤")
    assert raw.getvalue().decode(encoding) == written


def test_names_that_are_no_unicode_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "utf-8"))
    say("a\udcff")
    assert raw.getvalue() == b"a\\udcff\n"


def test_what_follows_a_failure_is_written():
    class Full(io.StringIO):
        full = True

        def write(self, text):
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    safe = SafeStream(stream)
    safe.write("lost")
    stream.full = False
    safe.write("kept")
    assert stream.getvalue() == "kept"


@given(st.text())
def test_nothing_moves_the_cursor_or_reorders_text(text):
    shown = printable(text)
    assert all(character == "\n" or character.isprintable() or character in text for character in shown)
    assert not {"\x1b", "\r", "\x07", "\x85", "\x9b", "\u2028", "\u202e"} & set(shown)
    assert printable(shown) == shown


def test_escapes_are_readable():
    assert printable("a\x1b[31m\r\tb\n") == "a\\x1b[31m\\r\\tb\n"

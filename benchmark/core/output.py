"""Text for the user, on streams that may be closed, full, of another encoding, or without a reader."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import filterfalse
from typing import TextIO, cast

_HIDDEN = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories of control characters, and of separators of lines and paragraphs."""
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction in which text is shown."""


def printable(text: str) -> str:
    r"""Escape what would move the cursor, color or reorder text on a terminal, as in `\x1b`; keep `\n`."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if (unicodedata.category(character) in _HIDDEN and character != "\n") or character in _REORDERING
        else character
        for character in text
    )


def say(*lines: str) -> None:
    """Write lines to stdout; a stream that does not take them is no error."""
    _write(sys.stdout, lines)


def warn(*lines: str) -> None:
    """Write lines to stderr; a stream that does not take them is no error."""
    _write(sys.stderr, lines)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is there, open, and a terminal."""
    return SafeStream(stream).isatty()


class SafeStream(io.TextIOBase):
    """Passes text on to a stream; text that it does not take is dropped without an error.

    Characters that its encoding lacks are written as backslash escapes. All else is the stream's own.

    Args:
        stream: a text stream; None where there is none, as when the process was started with it closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream.stream if isinstance(stream, SafeStream) else stream

    @property
    def stream(self) -> TextIO | None:
        """The stream that text is passed on to."""
        return self._stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> object:
        """The stream's binary buffer; one that keeps nothing where there is no stream."""
        return getattr(self._stream, "buffer", None) or io.BytesIO()

    def write(self, text: str) -> int:
        """Pass text on; it counts as written even where it is dropped."""
        if self._stream is not None:
            encoding = self.encoding
            # ValueError: the stream was closed; LookupError: there is no such encoding.
            with suppress(OSError, ValueError, LookupError):
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The stream's file descriptor.

        Raises:
            io.UnsupportedOperation: when it has none.
        """
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Text can always be written."""
        return True

    def close(self) -> None:
        """Flush; the stream stays open."""
        self.flush()

    def end(self) -> None:
        """Flush; drop what cannot be written, so that the flush at the end of the process does not fail."""
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


def safe(stream: TextIO | None) -> TextIO:
    """Wrap a stream, or the lack of one, as SafeStream does."""
    return cast("TextIO", SafeStream(stream))


def protect_streams() -> None:
    """Make stdout and stderr of this process safe to write to, for all code in it and for good."""
    sys.stdout, sys.stderr = safe(sys.stdout), safe(sys.stderr)


@contextmanager
def protected_streams(whole_process: bool) -> Iterator[None]:
    """Make stdout and stderr safe to write to within the block.

    Args:
        whole_process: whether the process ends after the block: what the streams do not take is then dropped,
            and descriptors that were closed lead nowhere, so that no file opened later gets their numbers.
    """
    if whole_process:
        _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    protect_streams()
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, SafeStream):
                (stream.end if whole_process else stream.flush)()
        sys.stdout, sys.stderr = before


def _write(stream: TextIO | None, lines: tuple[str, ...]) -> None:
    safe = SafeStream(stream)
    safe.write("".join(f"{printable(line)}\n" for line in lines))
    safe.flush()


def _open_closed_descriptors() -> None:
    for descriptor in filterfalse(_is_open, (0, 1, 2)):
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

"""Standard output and error that cannot end a command: whatever they cannot show, and whoever stopped reading."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from snnbench.interrupt import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

PLAIN = {
    **dict.fromkeys(map(chr, range(0x2500, 0x2580)), "+"),  # corners of boxes; their lines:
    **dict.fromkeys("─━┄┈═╌╴╸╶╺", "-"),
    **dict.fromkeys("│┃║╎╵╷", "|"),
    "µ": "u",
    "±": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "·": "*",
    "…": "...",
    "→": "->",
    "\N{EN DASH}": "-",
}
WIDEST = 10_000  # characters, of a line that no terminal breaks
ERRORS = "snnbench"  # the name under which `codecs` knows what to do with characters that cannot be encoded
NOBODY_READS = {errno.EPIPE, errno.EIO, errno.ECONNRESET}  # a pipe's reader, or a terminal, that is gone
_lost: dict[int, OSError] = {}


def width() -> int | None:
    """Columns of the terminal, or of $COLUMNS; None where what is printed goes elsewhere, and may be of any width."""
    if sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else None


def console() -> Console:
    """For tables on standard output: folded to the terminal's width; where there is none, as wide as they are."""
    from rich.console import Console

    return Console(width=width() or WIDEST)


def run(main: Callable[[], int], *, prints: bool = True) -> int:
    """The exit code of `main`, whose output may go anywhere: to a pipe that is closed, to a terminal of another tongue.

    Args:
        main: the command.
        prints: whether its output is all it leaves, so that a disk too full for it is a failure.
    """
    protect()
    try:
        code = main()
    except SystemExit as error:  # argparse's, after it printed its help or a complaint
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        code = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    lost = next((error for error in _lost.values() if error.errno not in NOBODY_READS), None)
    if lost is None:
        return code
    print(f"error: the output could not be written: {lost.strerror}", file=sys.stderr)
    return code or int(prints)


def protect() -> None:
    """Make this process's own sys.stdout and sys.stderr such streams, once; others, as a test's, are left alone."""
    sys.stdout = _protected(sys.stdout, 1)
    sys.stderr = _protected(sys.stderr, 2)


def _protected(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:  # the command was started with it closed
        with contextlib.suppress(OSError):
            os.fstat(number)
            return open(os.devnull, "w")  # by now the number is another file's
        _to_nowhere(number)
    elif not isinstance(stream, io.TextIOWrapper) or not _is_new(stream, number):
        return stream
    else:
        with contextlib.suppress(OSError):
            stream.flush()
    encoding = stream.encoding if stream is not None else "utf-8"
    buffered = io.BufferedWriter(_Raw(number, "wb", closefd=False))  # type: ignore[type-var]
    lines = number == 2 or os.isatty(number)
    return io.TextIOWrapper(buffered, encoding, ERRORS, line_buffering=lines, write_through=number == 2)


def _is_new(stream: io.TextIOWrapper, number: int) -> bool:
    try:
        return stream.fileno() == number and not isinstance(getattr(stream.buffer, "raw", None), _Raw)
    except (OSError, ValueError):
        return False


class _Raw(io.FileIO):
    """Where a write fails, it and all later ones go nowhere."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN):
                raise
            _lost[self.fileno()] = error
            _to_nowhere(self.fileno())
            return memoryview(data).nbytes


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What cannot be encoded, in characters that can: bytes of a file's name as they are, a few signs spelt out."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found: list[bytes] = []
    for character in error.object[error.start : error.end]:
        if "\udc80" <= character <= "\udcff":  # as os.fsdecode reads what is no UTF-8
            found.append(bytes([ord(character) - 0xDC00]))
        else:
            text = PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()
            found.append(text.encode(error.encoding, "replace"))
    return b"".join(found), error.end


codecs.register_error(ERRORS, _plain)

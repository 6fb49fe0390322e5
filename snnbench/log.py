"""Where messages go: ours to the terminal, everything to the run's own train.log."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning")


def to_terminal() -> None:
    """Show snnbench's own messages on stderr, as plain lines; libraries' chatter and warnings stay off it."""
    logger = logging.getLogger("snnbench")
    if not logger.handlers:
        logger.addHandler(_Stderr())
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())


class _Stderr(logging.StreamHandler):
    """Writes to whatever sys.stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Append the messages of everybody, warnings included, to `path`."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is told of elsewhere, once
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    quieten()
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def quieten() -> None:
    """Keep Lightning, which has been imported, from writing to the terminal by itself."""
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.propagate = True
        for own in list(library.handlers):
            library.removeHandler(own)

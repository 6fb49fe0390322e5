"""How commands end: their exit codes, and SIGTERM, which schedulers send before they kill, treated as Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes; 0 is done."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, of which the user has been told already."""


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Inside, the first SIGTERM raises KeyboardInterrupt in the main thread, which must be this one.

    Further ones do nothing: what was reached is being recorded then.
    """
    received = []

    def interrupt(number: int, frame: object) -> None:
        received.append(number)
        if len(received) == 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def was_interrupted(error: BaseException) -> bool:
    """Whether an interruption is behind `error`.

    A signal to the whole process group ends the workers, too, and PyTorch's complaint about them may come on top.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt | SystemExit):
        cause = cause.__context__
    return cause is not None

"""How commands end: their exit codes, and the signals that schedulers send before they kill, treated as Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes; 0 is done."""
_SENT = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")  # by schedulers, and by a terminal that is closed
_received: list[signal.Signals] = []


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a signal, of which the user has been told already."""


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Inside, the first SIGTERM, or other signal that would end the process, raises KeyboardInterrupt in the main
    thread, which must be this one.

    Further ones do nothing: what was reached is being recorded then. Only Ctrl-C does so again.
    """

    def interrupt(number: int, frame: object) -> None:
        _received.append(signal.Signals(number))
        if len(_received) == 1 or number == signal.SIGINT:
            raise KeyboardInterrupt

    _received.clear()
    numbers = [getattr(signal, name) for name in _SENT if hasattr(signal, name)]
    ours = {signal.SIGTERM, *(number for number in numbers if signal.getsignal(number) is signal.SIG_DFL)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        ours.add(signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted_by() -> str:
    """What did it: the name of the first signal, or Ctrl-C."""
    name = _received[0].name if _received else ""
    return "Ctrl-C" if name == "SIGINT" else name or "Ctrl-C or SIGTERM"


def by_the_machine() -> bool:
    """Whether the interruption was a scheduler's, and not a user's at the terminal."""
    return bool(_received) and _received[0] not in (signal.SIGINT, signal.SIGHUP)


def was_interrupted(error: BaseException) -> bool:
    """Whether an interruption is behind `error`.

    A signal to the whole process group ends the workers, too, and PyTorch's complaint about them may come on top.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt | SystemExit):
        cause = cause.__context__
    return cause is not None

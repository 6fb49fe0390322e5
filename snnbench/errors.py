"""The one exception that means: the input is wrong, nothing is broken."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message is one or two lines: the key, the value, what is allowed, what to do.

    The command line prints it without a traceback and exits with code 2. One that comes from a worker process of a
    DataLoader says what it said there: PyTorch makes it anew, with the worker's traceback for a message.
    """

    def __init__(self, message: str) -> None:
        if message.startswith(f"Caught {type(self).__name__} in "):
            message = message.rpartition(f"{type(self).__module__}.{type(self).__qualname__}: ")[2].strip()
        super().__init__(message)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest choice, or an empty string when none is near; "CIFAR-10" is cifar10."""
    known = [choice for choice in choices if choice != word]
    same = [choice for choice in known if _plain(choice) == _plain(word)]
    near = same or difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _plain(word: str) -> str:
    return re.sub(r"[-_ ]", "", word.lower())

"""Fixtures of the data tests; the hand-made files are in image_files.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Every connection fails at once, as on a machine without a network. Returns the hosts asked for."""
    asked: list[str] = []

    def refuse(host: str, *args: object, **kwargs: object) -> None:
        asked.append(host)
        raise OSError("no route to host")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    return lambda: asked

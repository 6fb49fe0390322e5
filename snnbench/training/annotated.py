"""Options of a library's class beside what it says that they are: most find out when they use them, in mid-training."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object

from snnbench.check import shown
from snnbench.errors import UserError

PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


def check_options(group: str, node: Mapping[str, Any]) -> None:
    """Refuse numbers, texts, flags and null where the class that a node names is annotated otherwise.

    Args:
        group: the node's key.
        node: a resolved config with a `_target_`.

    Raises:
        UserError: names the key and what is allowed; or there is no such class.
    """
    try:
        target = get_object(str(node["_target_"]))
    except Exception as error:  # importing somebody's module may raise anything
        raise UserError(f"{group}._target_={node['_target_']}: {' '.join(str(error).split())}") from error
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # some names are there for a type checker only
        hints = {name: one.annotation for name, one in inspect.signature(target).parameters.items()}
    for key, value in node.items():
        if key in hints and type(value) in PLAIN and not _takes(hints[key], value):
            raise UserError(f"{group}.{key}={shown(value)}: must be {' or '.join(_allowed(hints[key]))}.")


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type that it is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(hint) for member in _members(part))
    return (hint,)


def _takes(hint: Any, value: Any) -> bool:
    """Whether a plain value is one of these; what is not known to be otherwise, is."""
    return any(_is(member, value) for member in _members(hint))


def _is(member: Any, value: Any) -> bool:
    if member in PLAIN:
        return type(value) is member or (member is float and type(value) is int)
    if typing.get_origin(member) is typing.Literal:
        return value in typing.get_args(member)
    if not inspect.isclass(member) or member is inspect.Parameter.empty:
        return True
    return issubclass(member, enum.Enum) or isinstance(value, member)


def _allowed(hint: Any) -> list[str]:
    found: list[str] = []
    for member in _members(hint):
        if typing.get_origin(member) is typing.Literal:
            found += map(shown, typing.get_args(member))
        else:
            found.append(PLAIN.get(member, f"a {getattr(member, '__name__', member)}"))
    return list(dict.fromkeys(found))

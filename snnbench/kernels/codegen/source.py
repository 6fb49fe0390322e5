"""A kernel's text: a frame of this folder with its holes filled, and its headers written in where it is compiled."""

from __future__ import annotations

import dataclasses
import functools
import re
import textwrap
from pathlib import Path
from typing import Any

import jinja2

_HERE = Path(__file__).parent
_INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class KernelSource:
    """Attributes:
    frame: the text, which includes headers of this folder.
    name: of the function to call.
    parameters: their names in order; each takes 8 bytes, a number or an address.
    """

    frame: str
    name: str
    parameters: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole translation unit: what is compiled, and what its name in the cache is made from."""
        return with_headers(self.frame, _HERE)


def with_headers(text: str, folder: Path) -> str:
    """`text` with the headers of `folder` that it includes written in."""
    return _INCLUDE.sub(lambda found: _header(folder / found[1]), text)


def fill(frame: str, **holes: Any) -> str:
    """The file `frame` of this folder with its holes filled.

    It is a Jinja2 template with C++'s manners: `${...}` is an expression, a line that begins with `//%` a statement,
    one that begins with `//#` a comment on the template. The filter `deeper` indents by one more level.
    """
    text = _environment().get_template(frame).render(holes)
    return re.sub(r"\n{3,}", "\n\n", text).lstrip("\n")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        undefined=jinja2.StrictUndefined,
        variable_start_string="${",
        variable_end_string="}",
        line_statement_prefix="//%",
        line_comment_prefix="//#",
        keep_trailing_newline=True,
    )
    environment.filters["deeper"] = lambda text: textwrap.indent(text, "  ")
    return environment


@functools.cache
def _header(path: Path) -> str:
    return path.read_text("utf-8")

"""Which code a run's numbers come from: the project's own classes by revision, all other code by its source.

A class of this project counts by its name and a revision: `code.json` holds, for each class that configs name, its
revision and a digest of the source behind it. While the source has that digest, the class is the published one; a copy
that somebody changed is not, and counts by what its source is. After a change of that source,
`python scripts/publish_code.py` says which it is: the same numbers as before, or a new revision.

Comments, docstrings and formatting do not count, nor does the name of a module.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snnbench.errors import UserError
from snnbench.files import read_yaml, write_json
from snnbench.runs.recipe import LIBRARIES, OWN, flat, recipe_hash, targets

LOCK = Path(__file__).with_name("code.json")
LENGTH = 12
IGNORED = {"ctx", "kind", "type_comment", "type_params", "lineno", "col_offset", "end_lineno", "end_col_offset"}


def code_of(config: Mapping[str, Any]) -> dict[str, int | str]:
    """By `_target_`: the revision of a published class of this project, or a digest of the source of other code.

    Installed libraries are left out. Imports what the config names.

    Raises:
        UserError: there is no such class.
    """
    found: dict[str, int | str] = {}
    for target in dict.fromkeys(targets(config)):
        top = target.partition(".")[0]
        if top in LIBRARIES:
            continue
        source = digest(target)
        published = _published().get(target.rpartition(".")[2]) if top == OWN else None
        found[target] = int(published["revision"]) if published and published["source"] == source else source
    return found


def published_code(config: Mapping[str, Any]) -> dict[str, int | str]:
    """As `code_of`, for a config of this project's own classes, taken as they are published: nothing is imported."""
    own = [target for target in targets(config) if target.startswith(f"{OWN}.")]
    known = {target: _published().get(target.rpartition(".")[2]) for target in own}
    return {target: int(found["revision"]) for target, found in known.items() if found}


def row_recipe(config: Mapping[str, Any]) -> str:
    """The recipe of a row's config, with this project's classes as they are published."""
    return recipe_hash(config, published_code(config))


def row_flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same recipe, by dotted keys."""
    return flat(config, published_code(config))


def changes(before: Mapping[str, int | str], now: Mapping[str, int | str]) -> list[str]:
    """The names of the classes whose code is not what it was; a module may have moved."""
    names = {target.rpartition(".")[2]: tag for target, tag in before.items()}
    found = {target.rpartition(".")[2]: tag for target, tag in now.items()}
    return sorted(name for name, tag in names.items() if found.get(name, tag) != tag)


@functools.cache
def _published() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(LOCK.read_text("utf-8"))
    return found


@functools.cache
def digest(target: str) -> str:
    """Of the module in which `target` is defined, and of those of its package that this one imports, and so on.

    Raises:
        UserError: there is no such class or function.
    """
    module, file = _home(target)
    if file is None:
        return hashlib.sha256(module.encode()).hexdigest()[:LENGTH]
    package = ".".join(module.split(".")[:2]) if module.startswith(f"{OWN}.") else None
    sources = {module: _canonical(file)}
    if package is None:  # an alias, or what functools.partial made, is of the module that names it, too
        sources |= {name: _canonical(path) for name, path in _naming(target)}
    waiting = list(sources)
    while waiting:
        for name, path in _imported(waiting.pop(), package):
            if name not in sources:
                sources[name] = _canonical(path)
                waiting.append(name)
    bases = [tag for name in sources for tag in _own_bases(name)] if package is None else []
    whole = "\0".join([target.rpartition(".")[2], *sorted(sources.values()), *sorted(bases)])
    return hashlib.sha256(whole.encode()).hexdigest()[:LENGTH]


def _home(target: str) -> tuple[str, Path | None]:
    """The module that defines `target`, and its file; None for what is compiled."""
    import hydra.utils

    try:
        found = hydra.utils.get_object(target)
    except Exception as error:  # importing somebody's module may raise anything
        raise UserError(f"_target_={target}: {' '.join(str(error).split())}") from error
    module = inspect.getmodule(found)
    try:
        file = inspect.getsourcefile(module) if module else None
    except TypeError:
        file = None
    return module.__name__ if module else target, Path(file) if file else None


def _naming(target: str) -> Iterator[tuple[str, Path]]:
    """The innermost module in the path of a target."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = _file(".".join(parts[:length]))
        if path is not None:
            yield ".".join(parts[:length]), path
            return


def _own_bases(module: str) -> Iterator[str]:
    """The classes of this project that somebody's module imports, as they are now."""
    file = _file(module)
    for node in ast.walk(ast.parse(file.read_bytes())) if file else ():
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OWN):
            for name in (alias.name for alias in node.names if alias.name in _published()):
                yield f"{name}@{code_of({'_target_': f'{node.module}.{name}'})[f'{node.module}.{name}']}"


def _imported(module: str, package: str | None) -> Iterator[tuple[str, Path]]:
    """The modules that `module` imports anywhere in its text: of `package`, or where that is None of no library."""
    file = _file(module)
    if file is None:
        return
    for node in ast.walk(ast.parse(file.read_bytes())):
        for name in _names(node, module, file.name == "__init__.py"):
            wanted = name.startswith(f"{package}.") if package else _foreign(name.partition(".")[0])
            path = _file(name) if wanted else None
            if path is not None:
                yield name, path


def _names(node: ast.AST, module: str, is_package: bool) -> list[str]:
    """The modules that an import statement may mean: those it names, and names in them that may be modules."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    parents = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
    base = ".".join([*parents, *([node.module] if node.module else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


@functools.cache
def _foreign(top: str) -> bool:
    """Whether a package is somebody's own: neither this project, nor Python's, nor an installed library."""
    if top in LIBRARIES | {OWN} | sys.stdlib_module_names:
        return False
    spec = importlib.util.find_spec(top)
    where = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
    return bool(where) and not any("site-packages" in path or "dist-packages" in path for path in where)


@functools.cache
def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _canonical(file: Path) -> str:
    """The syntax of a file, the same for every Python that reads it."""

    def write(node: Any) -> str:
        if isinstance(node, ast.AST):
            fields = ((key, value) for key, value in ast.iter_fields(node) if key not in IGNORED)
            return f"{type(node).__name__}({','.join(f'{k}={write(v)}' for k, v in fields if v not in (None, []))})"
        if isinstance(node, list):
            return f"[{','.join(write(item) for item in _without_docstring(node))}]"
        return repr(node)

    return hashlib.sha256(write(ast.parse(file.read_bytes())).encode()).hexdigest()


def _without_docstring(body: list[Any]) -> list[Any]:
    first = body[0] if body else None
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body


def own_targets(configs: Path) -> list[str]:
    """Every class of this project that a config names."""
    return sorted({t for path in configs.rglob("*.yaml") for t in targets(read_yaml(path)) if t.startswith(f"{OWN}.")})


def publish(names: Iterable[str], configs: Path, lock: Path = LOCK) -> None:
    """Write `code.json` anew from the source as it is; the classes `names` get their next revision.

    Raises:
        UserError: no config names such a class.
    """
    own = own_targets(configs)
    found = {target.rpartition(".")[2]: digest(target) for target in own}
    assert len(found) == len(own), "two classes of one name"
    unknown = sorted(set(names) - found.keys())
    if unknown:
        raise UserError(f"{unknown[0]}: no config names such a class.")
    before = json.loads(lock.read_text("utf-8")) if lock.exists() else {}
    revisions = {name: before.get(name, {"revision": 1})["revision"] + (name in set(names)) for name in found}
    write_json(lock, {name: {"revision": revisions[name], "source": found[name]} for name in sorted(found)})

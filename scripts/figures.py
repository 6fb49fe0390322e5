"""Figures for a paper from finished runs, each as PNG and PDF.

python scripts/figures.py                                all kinds that the runs below outputs/ allow
python scripts/figures.py my_outputs --kind accuracy --kind firing
python scripts/figures.py outputs --kind grid --protocol best_test_epoch --output paper/figures
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from snnbench import commands, terminal
from snnbench.errors import UserError
from snnbench.results.figures.kinds import KINDS, Drawn
from snnbench.results.selection import LeftOut, not_real, select, unfinished
from snnbench.results.tables.papers import ledger_notes
from snnbench.runs.find import outputs
from snnbench.runs.read import Run, read_ledger
from snnbench.runs.schema import PROTOCOLS

NOTHING = 2


def main(argv: Sequence[str] | None = None) -> int:
    """0; or 2 where nothing can be drawn of a kind that was asked for, or of any."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOTHING


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[outputs()], help="default: $SNNBENCH_OUTPUTS, or outputs"
    )
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be given more than once; default: all")
    parser.add_argument("--output", type=Path, default=outputs() / "figures", help="default: figures in there")
    parser.add_argument(
        "--protocol",
        choices=list(PROTOCOLS),
        default="last_epoch",
        help="how the epoch of an accuracy is chosen; default: last_epoch",
    )
    parser.add_argument("--any-data", action="store_true", help="also runs on other than the real data, apart")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    ledger = read_ledger(arguments.folders)
    selection = select(ledger, arguments.any_data)
    asked = list(dict.fromkeys(arguments.kind or KINDS))
    begun = [run for run, _ in selection.left_out if unfinished(run) and (arguments.any_data or not not_real(run))]
    taken = {kind: [*selection.counted, *(begun if KINDS[kind].begun else [])] for kind in asked}
    found = {kind: KINDS[kind].choose(taken[kind], arguments.protocol) for kind in asked}
    in_one = {run for drawn in found.values() for figure in drawn.figures for run in figure.runs}
    _make(arguments.output)
    for drawn in found.values():
        _draw(drawn, arguments.output)
    notes = [*_by_reason("left out of all", [each for each in selection.left_out if each[0] not in in_one])]
    for kind, drawn in found.items():
        if drawn.figures or arguments.kind:
            notes += _by_reason(f"left out of {kind}", drawn.left_out)
    notes += ledger_notes(ledger)
    print("\n".join(notes))
    missing = [kind for kind, drawn in found.items() if not drawn.figures]
    for kind in missing if arguments.kind or len(missing) == len(found) else []:
        print(
            f"error: no {kind} to draw: needs {KINDS[kind].needs}, such as\n  {commands.train(*KINDS[kind].command)}",
            file=sys.stderr,
        )
    return NOTHING if missing and (arguments.kind or len(missing) == len(found)) else 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot make this folder ({error.strerror}).") from error


def _draw(drawn: Drawn, folder: Path) -> None:
    from snnbench.results.figures.draw import save

    for figure in drawn.figures:
        paths = save(figure, folder)
        print(f"{paths[0]}, {paths[1].suffix}\n  {figure.title}; {_count(figure.runs)}:")
        print("\n".join(_folders(figure.runs)))


def _by_reason(what: str, left_out: Iterable[LeftOut]) -> list[str]:
    reasons: dict[str, list[Run]] = {}
    for run, why in left_out:
        reasons.setdefault(why, []).append(run)
    return [line for why, runs in reasons.items() for line in (f"{what}, {_count(runs)}: {why}", *_folders(runs))]


def _folders(runs: Iterable[Run]) -> list[str]:
    """A line for each folder that holds some of the runs."""
    names: dict[Path, list[str]] = {}
    for run in runs:
        names.setdefault(run.folder.parent, []).append(run.folder.name)
    return [f"    {parent}: {', '.join(found)}" for parent, found in names.items()]


def _count(runs: Sequence[Run]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


if __name__ == "__main__":
    sys.exit(terminal.run(main))

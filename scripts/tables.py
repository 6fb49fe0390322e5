"""Tables of the papers with what was reproduced, or a check of one row.

python scripts/tables.py                                     every paper, runs below outputs/
python scripts/tables.py arlif my_outputs --format md
python scripts/tables.py --check arlif/cifar10_resnet18_t4   exit code 0 agrees, 1 differs, 2 nothing to compare
python scripts/tables.py --check arlif/cifar10_resnet18_t4 --at 30
python scripts/tables.py --check plif/mnist_plifnet_t8 --curve   every epoch so far beside the authors' own curve
python scripts/tables.py --proved                            rows whose network and gradients were compared
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from snnbench import terminal
from snnbench.config import CONFIGS, compose_row
from snnbench.errors import UserError
from snnbench.official import curve_of
from snnbench.results.outcomes import Compose, Outcome, groups, outcomes
from snnbench.results.rows import choose, read_registry, read_rows
from snnbench.results.tables import check, render
from snnbench.results.tables.curve import check_curve
from snnbench.results.tables.papers import groups_table, ledger_notes, order, paper_table
from snnbench.runs.find import outputs
from snnbench.runs.read import read_ledger


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paper", nargs="?", help="a paper's key in configs/papers.yaml; none: all of them")
    parser.add_argument("folders", nargs="*", help="where the runs lie; default: $SNNBENCH_OUTPUTS, or outputs")
    parser.add_argument("--format", choices=render.FORMATS, default="text")
    parser.add_argument("--proved", action="store_true", help="only rows whose network and gradients were compared")
    parser.add_argument("--check", metavar="ROW", help="compare this row's runs with its reported accuracy")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="where papers.yaml and experiment/ lie")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--curve", action="store_true", help="with --check: every epoch so far beside the authors' curve")
    how.add_argument(
        "--at",
        metavar="EPOCH",
        type=int,
        help="with --check: the accuracy in the authors' log there; from 0, as it counts",
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    registry = read_registry(arguments.configs)
    rows, problems = read_rows(arguments.configs)
    compose = cache(partial(compose_row, configs=arguments.configs))
    papers, folders = _what(arguments, list(registry.papers))
    _refuse(arguments)
    if arguments.check is not None:
        choose("row", arguments.check, rows)
        rows = {arguments.check: rows[arguments.check]}
    ledger = read_ledger(folders)
    ledger.problems[:0] = problems
    found = outcomes(ledger, {id: row for id, row in rows.items() if row.paper in papers}, compose)
    if arguments.check is not None:
        code, text = _check(found[arguments.check], arguments, compose)
        print("\n".join([text, *(f"note: {problem}" for problem in ledger_notes(ledger))]))
        return code
    shown = order(rows.values())
    if arguments.proved:
        registry = replace(registry, quoted=())
        shown = [row for row in shown if row.proved]
        papers = [paper for paper in papers if any(row.paper == paper for row in shown)]
    tables = [paper_table(paper, registry, [found[row.id] for row in shown if row.paper == paper]) for paper in papers]
    others = groups(ledger, rows)
    notes = ledger_notes(ledger)
    narrowed = "--proved" if arguments.proved else "the paper" if arguments.paper in registry.papers else None
    if others and not narrowed:
        tables.append(groups_table(others))
    elif others:
        count = sum(len(group.counted) + len(group.left_out) for group in others)
        notes.append(f"{count} runs belong to no row: leave out {narrowed}")
    if not tables:
        notes.append("no row here has a network and gradients that were compared")
    if not ledger.runs:
        notes.append(f"no runs in {', '.join(map(str, folders))}")
    sys.stdout.write(render.render(tables, notes, arguments.format))
    return 0


def _refuse(arguments: argparse.Namespace) -> None:
    """What does not go together."""
    if arguments.check is not None:
        if arguments.proved:
            raise UserError("--proved: chooses rows of the tables, --check ROW is one row. Leave out one of them.")
    elif arguments.at is not None:
        raise UserError(f"--at {arguments.at}: goes with --check ROW.")
    elif arguments.curve:
        raise UserError("--curve: goes with --check ROW.")


def _check(outcome: Outcome, arguments: argparse.Namespace, compose: Compose) -> tuple[int, str]:
    if arguments.curve:
        return check_curve(outcome, curve_of(outcome.row.id), compose)
    if arguments.at is not None:
        return check.check_milestone(outcome, arguments.at, compose)
    return check.check_row(outcome)


def _what(arguments: argparse.Namespace, papers: list[str]) -> tuple[list[str], list[Path]]:
    """The papers and the folders; the first word may be either."""
    words = [word for word in (arguments.paper, *arguments.folders) if word is not None]
    if words and words[0] in papers:
        chosen, words = [words[0]], words[1:]
    else:
        if words and not Path(words[0]).exists():
            choose("paper or folder", words[0], dict.fromkeys(papers))
        chosen = papers
    return chosen, [Path(word) for word in words] or [outputs()]


if __name__ == "__main__":
    sys.exit(terminal.run(main))

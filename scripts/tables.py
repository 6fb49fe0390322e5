"""Tables of the papers with what was reproduced, what can be run, or a check of one row.

python scripts/tables.py                                     every paper, runs below outputs/
python scripts/tables.py arlif my_outputs --format md
python scripts/tables.py 'dalif/cifar100*' plif              rows by name; --data cifar100, --runnable, --proved
python scripts/tables.py rows dalif                          what can be run: reported value, proof, time
python scripts/tables.py --check arlif/cifar10_resnet18_t4   exit code 0 agrees, 1 differs, 2 nothing to compare
python scripts/tables.py --check arlif/cifar10_resnet18_t4 --at 31   after 31 epochs
python scripts/tables.py --check plif/mnist_plifnet_t8 --curve   every epoch so far beside the authors' own curve
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from snnbench import commands, terminal
from snnbench.config import CONFIGS, compose_row
from snnbench.errors import UserError
from snnbench.official import curve_of
from snnbench.results.outcomes import Compose, Outcome, groups, outcomes
from snnbench.results.rows import Registry, Row, choose, matches, read_registry, read_rows, select_rows
from snnbench.results.tables import check, render
from snnbench.results.tables.curve import check_curve
from snnbench.results.tables.deployed import deployed_table
from snnbench.results.tables.papers import Table, groups_table, ledger_notes, order, paper_table, tally
from snnbench.results.tables.runnable import rows_table
from snnbench.runs.deployed import of_rows, read_deployed
from snnbench.runs.find import outputs
from snnbench.runs.read import Ledger, read_ledger

ROWS = "rows"  # the word that asks for what can be run


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument(
        "what",
        nargs="*",
        help="papers, names or patterns of rows; folders of runs, by default $SNNBENCH_OUTPUTS or outputs; "
        "before them perhaps the word rows: what can be run",
    )
    parser.add_argument("--format", choices=render.FORMATS, default="text")
    parser.add_argument("--wide", action="store_true", help="all columns, in lines as long as they need")
    parser.add_argument("--data", action="append", default=[], metavar="NAME", help="only rows on this data set")
    parser.add_argument("--runnable", action="store_true", help="without the rows that cannot be run here")
    parser.add_argument("--proved", action="store_true", help="only rows whose network and gradients were compared")
    parser.add_argument("--check", metavar="ROW", help="compare this row's runs with its reported accuracy")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="where papers.yaml and experiment/ lie")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--curve", action="store_true", help="with --check: every epoch so far beside the authors' curve")
    how.add_argument(
        "--at", metavar="N", type=int, help="with --check: the accuracy after N epochs, beside the authors' log"
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    registry = read_registry(arguments.configs)
    rows, problems = read_rows(arguments.configs)
    compose = cache(partial(compose_row, configs=arguments.configs))
    patterns, folders = _what(arguments.what, [*registry.papers], rows)
    _refuse(arguments)
    if arguments.check is not None:
        choose("row", arguments.check, rows)
        chosen = {arguments.check: rows[arguments.check]}
    else:
        chosen = select_rows(rows, patterns, arguments.data, registry.papers)
        chosen = {id: row for id, row in chosen.items() if row.proved or not arguments.proved}
    listing = arguments.what[:1] == [ROWS]
    ledger = read_ledger(folders) if folders[0].exists() or not listing else Ledger()
    ledger.problems[:0] = problems
    found = outcomes(ledger, chosen, compose)
    if arguments.check is not None:
        code, text = _check(found[arguments.check], arguments, compose)
        print("\n".join([text, *(f"note: {problem}" for problem in ledger_notes(ledger))]))
        return code
    if listing:
        tables, notes = [rows_table(chosen.values(), registry, found)], ledger_notes(ledger)
    else:
        tables, notes = _tables(arguments, patterns, registry, found)
        notes += _of_no_row(ledger, rows, tables, narrowed=bool(patterns or arguments.data or arguments.proved))
        notes += ledger_notes(ledger)
        notes += [] if ledger.runs else [f"no runs in {', '.join(map(str, folders))}"]
    sys.stdout.write(render.render(tables, notes, arguments.format, arguments.wide))
    return 0


def _tables(
    arguments: argparse.Namespace, patterns: list[str], registry: Registry, found: dict[str, Outcome]
) -> tuple[list[Table], list[str]]:
    """A table for each paper that has something to show, one of deployed networks, and what all of them come to."""
    deployed = read_deployed(arguments.configs)
    quoted = [line for line in registry.quoted if not patterns or any(matches(word, line.id) for word in patterns)]
    quoted = [line for line in quoted if not arguments.data or line.data in arguments.data]
    registry = replace(registry, quoted=() if arguments.proved or arguments.runnable else tuple(quoted))
    shown = order(outcome.row for outcome in found.values())
    tables, shown_papers = [], 0
    for paper in registry.papers:
        own = [found[row.id] for row in shown if row.paper == paper]
        if own or any(line.paper == paper for line in registry.quoted) or paper in patterns:
            tables.append(paper_table(paper, registry, own))
            shown_papers += 1
        trained = {outcome.row.id: outcome for outcome in own}
        others = list(of_rows(trained, deployed))
        if others:
            tables.append(deployed_table(paper, registry, others, trained))
    if shown_papers > 1:
        return tables, [f"All {shown_papers} tables: {tally(list(found.values()), len(registry.quoted))}"]
    return tables, [] if tables else ["there is no such row"]


def _of_no_row(ledger: Ledger, rows: dict[str, Row], tables: list[Table], narrowed: bool) -> list[str]:
    """Add the table of runs that belong to no row; or, where what is shown was chosen, say that there are some."""
    others = groups(ledger, rows)
    if others and not narrowed:
        tables.append(groups_table(others))
    count = sum(len(group.counted) + len(group.left_out) for group in others)
    belong = "1 run belongs" if count == 1 else f"{count} runs belong"
    listed = "without names and --data they are listed"
    return [f"{belong} to no row; {listed}"] if others and narrowed else []


def _refuse(arguments: argparse.Namespace) -> None:
    """What does not go together."""
    if arguments.check is not None:
        for flag in ("proved", "runnable", "data"):
            if getattr(arguments, flag):
                raise UserError(f"--{flag}: chooses rows of the tables, --check ROW is one row. Leave out one of them.")
    elif arguments.at is not None:
        raise UserError(f"--at {arguments.at}: goes with --check ROW.")
    elif arguments.curve:
        raise UserError("--curve: goes with --check ROW.")


def _check(outcome: Outcome, arguments: argparse.Namespace, compose: Compose) -> tuple[int, str]:
    if arguments.curve:
        return check_curve(outcome, curve_of(outcome.row.id), compose, arguments.wide)
    if arguments.at is not None:
        return check.check_milestone(outcome, arguments.at, compose)
    return check.check_row(outcome)


def _what(words: list[str], papers: list[str], rows: dict[str, Row]) -> tuple[list[str], list[Path]]:
    """Papers and patterns of rows; folders, without any the default one."""
    words = words[1:] if words[:1] == [ROWS] else words
    patterns = [word for word in words if word in papers or any(matches(word, id) for id in rows)]
    folders = [Path(word) for word in words if word not in patterns]
    for folder in folders:
        if not folder.exists():
            if str(folder) in {row.data for row in rows.values()}:
                its = commands.command("scripts/tables.py", "--data", folder)
                raise UserError(f"{folder}: is a data set. Its rows: {its}")
            choose("folder, paper or row", str(folder), dict.fromkeys([*papers, *rows]))
    return patterns, folders or [outputs()]


if __name__ == "__main__":
    sys.exit(terminal.run(main))

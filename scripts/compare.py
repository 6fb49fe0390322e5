"""Neurons beside each other under one recipe, from finished runs that differ in neuron, T and seed alone.

python train.py -m +sweep=comparison data=digits
python scripts/compare.py                                    runs below outputs/
python scripts/compare.py my_outputs --format md --json comparison.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from snnbench import commands, terminal
from snnbench.errors import UserError
from snnbench.files import write_json
from snnbench.results.selection import select
from snnbench.results.tables import render
from snnbench.results.tables.comparison import compare, record, table
from snnbench.results.tables.papers import ledger_notes
from snnbench.runs.find import outputs
from snnbench.runs.read import read_ledger
from snnbench.runs.schema import PROTOCOLS


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 where there is nothing to compare."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument("folders", nargs="*", default=[outputs()], help="default: $SNNBENCH_OUTPUTS, or outputs")
    parser.add_argument("--format", choices=render.FORMATS, default="text")
    parser.add_argument("--wide", action="store_true", help="all columns, in lines as long as they need")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="last_epoch")
    parser.add_argument("--any-data", action="store_true", help="also runs on other than the real data, apart")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run's values there")
    arguments = parser.parse_args(argv)
    try:
        ledger = read_ledger(arguments.folders)
        selection = select(ledger, arguments.any_data)
        found, alone = compare(selection.counted, arguments.protocol)
        if not found:
            raise UserError(
                f"{', '.join(arguments.folders)}: no two neurons were trained under one recipe; "
                f"try {commands.train('-m', '+sweep=comparison', 'data=digits')}"
            )
        if arguments.json:
            write_json(arguments.json, record(found))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    left_out = [f"{run.folder}: left out: {why}" for run, why in [*selection.left_out, *alone]]
    tables, notes = [table(one) for one in found], [*left_out, *ledger_notes(ledger)]
    sys.stdout.write(render.render(tables, notes, arguments.format, arguments.wide))
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

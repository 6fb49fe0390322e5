"""Count what the rows' trainings compute, for the times that `tables.py rows` estimates.

python scripts/estimate_rows.py            rows that are new; those that are gone leave
python scripts/estimate_rows.py --all      every row anew
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

import snnbench
from snnbench import terminal
from snnbench.bench.cost import input_shape
from snnbench.errors import UserError
from snnbench.files import write_json
from snnbench.neurons.base import spiking_layers
from snnbench.results.rows import read_rows
from snnbench.results.work import FILE, row_work


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="count every row anew")
    arguments = parser.parse_args(argv)
    stored = {} if arguments.all or not FILE.exists() else json.loads(FILE.read_text())
    rows = sorted(read_rows()[0])
    found = {}
    try:
        for number, row in enumerate(rows, start=1):
            found[row] = stored[row] if row in stored else [float(f"{part:.3g}") for part in work_of(row)]
            if row not in stored:
                print(f"{number} of {len(rows)}  {row}  {found[row][0]:.3g} multiply-accumulates", flush=True)
        write_json(FILE, found)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def work_of(row: str) -> list[float]:
    """What `row_work` says of the row, by PyTorch's own counter on one sample of zeros."""
    model = snnbench.load(row, "engine=reference", "weights=null")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.network(torch.zeros(input_shape(model.config, 1)))
    return row_work(model.config, counter.get_total_flops() / 2, len(spiking_layers(model.network)))


if __name__ == "__main__":
    sys.exit(terminal.run(main))

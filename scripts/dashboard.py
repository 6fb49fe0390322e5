"""All runs in one HTML file that opens without a server or a network.

python scripts/dashboard.py                                  runs below outputs/, written to outputs/dashboard.html
python scripts/dashboard.py my_outputs more --output runs.html
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from snnbench import commands, terminal
from snnbench.config import CONFIGS
from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.results.dashboard import build
from snnbench.runs.find import outputs


def main(argv: Sequence[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[outputs()], help="default: $SNNBENCH_OUTPUTS, or outputs"
    )
    parser.add_argument("--output", type=Path, help="default: dashboard.html in the first folder")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="where papers.yaml and experiment/ lie")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    try:
        dashboard = build(arguments.folders, arguments.configs)
        output = arguments.output or arguments.folders[0] / "dashboard.html"
        write_text(output, dashboard.html)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in dashboard.notes:
        print(f"note: {note}")
    size, seconds = output.stat().st_size / 1e6, time.perf_counter() - start
    print(f"{output}: {dashboard.runs} runs, {size:.1f} MB, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

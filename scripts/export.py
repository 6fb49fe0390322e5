"""Write a run as a folder for others: weights, config, results and a model card.

python scripts/export.py outputs/<name>/<run> FOLDER                    snnbench.load("FOLDER") takes it
python scripts/export.py outputs/<name>/<run> FOLDER --checkpoint best  the weights of another checkpoint
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from snnbench import commands, terminal
from snnbench.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 2 something is wrong with the run or the words."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--checkpoint", default="last", help="last (the default) or best")
    parser.add_argument("--nir", action="store_true", help="the network as model.nir, too, for simulators and chips")
    words = parser.parse_args(argv)
    from snnbench.models import export

    try:
        export(words.run, words.folder, checkpoint=words.checkpoint, nir=words.nir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    files = ", ".join(sorted(path.name for path in words.folder.iterdir()))
    print(f"{commands.typed(words.folder)}: {files}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

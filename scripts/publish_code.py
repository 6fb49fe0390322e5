"""Say what a change of the source behind the results means for the runs that are there.

python scripts/publish_code.py                  the numbers are the same as before: those runs go on counting
python scripts/publish_code.py LIF ResNet20     those of these classes are not: their next revision, a new recipe

A run records the revision of each class that its config names. Until the change is published here, its author's runs
count by a digest of the changed source, so that they are never mixed with others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from snnbench import terminal
from snnbench.config import CONFIGS
from snnbench.errors import UserError
from snnbench.runs.code import publish


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CLASS", help="a class whose numbers are not what they were")
    try:
        publish(parser.parse_args(argv).names, CONFIGS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

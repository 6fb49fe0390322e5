"""Write a part of your own to begin with: its module, its config, and a test that passes.

python scripts/new.py neuron my_neuron
python scripts/new.py backbone my_net
python scripts/new.py dataset my_images
python scripts/new.py events my_recordings
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from snnbench import commands, terminal
from snnbench.errors import UserError
from snnbench.new import KINDS, new


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 2 something is wrong with the words."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument("kind", help=", ".join(KINDS))
    parser.add_argument("name", help="in small letters, as my_neuron")
    words = parser.parse_args(argv)
    try:
        module, config, test = new(words.kind, words.name)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    group = config.parent.name
    print(f"{module}\n{config}\n{test}\n\nnext:")
    print(f"  {shlex.join(['python', '-m', 'pytest', str(test)])}")
    print(f"  {commands.train(**{group: words.name}, T=2, epochs=1)}")
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))

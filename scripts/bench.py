"""Is my neuron better than others, and how sure is that?

python scripts/bench.py plif                                against LIF, on the suite tiny
python scripts/bench.py plif --against lif,klif --suite small
python scripts/bench.py lif:tau=4 --against lif              options of a neuron behind a colon
python scripts/bench.py plif --suite cifar --plan            what would be trained, and how long it would take
python scripts/bench.py plif epochs=3 threads=1              overrides of all runs

Runs are ordinary ones: the same command again goes on where it was stopped, and finished runs are used again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from snnbench import commands, memory, terminal, threads
from snnbench.errors import UserError
from snnbench.interrupt import INTERRUPTED, WRONG_INPUT

AGAIN = "interrupted. The same command goes on: finished runs are used again."


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a run failed, 2 something is wrong with the words, 130 interrupted."""
    arguments = _parser().parse_intermixed_args(argv)
    arguments.command = commands.command("scripts/bench.py", *(sys.argv[1:] if argv is None else argv))
    threads.prepare()
    memory.reuse()
    try:
        from snnbench.bench.command import bench

        return bench(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print(AGAIN, file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument("neuron", help="as configs call it, with options perhaps: lif:tau=4,v_th=0.5")
    parser.add_argument("words", nargs="*", metavar="key=value", help="overrides of every run")
    parser.add_argument("--against", default="lif", metavar="NEURONS", help="rivals, parted by commas; default: lif")
    parser.add_argument("--suite", default="tiny", help="of configs/bench; default: tiny")
    parser.add_argument("--most", type=int, metavar="N", help="seeds at most; default: the suite's")
    parser.add_argument("--margin", type=float, metavar="POINTS", help="what does not matter; default: the suite's")
    parser.add_argument("--together", action="store_true", help="let 95 %% hold for all questions at once")
    parser.add_argument(
        "--plan", action="store_true", help="say what would be trained and how long it takes; train nothing"
    )
    parser.add_argument("--output", type=Path, help="folder of card, record and figures; default: bench in outputs")
    return parser


if __name__ == "__main__":
    sys.exit(terminal.run(main))

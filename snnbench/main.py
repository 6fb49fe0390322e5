"""The `snnbench` command: train.py, eval.py and the scripts by one name, in a checkout or installed.

Nothing is imported for the help; a command imports what it needs.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType

from snnbench import __version__, commands, terminal
from snnbench.errors import did_you_mean
from snnbench.interrupt import INTERRUPTED, WRONG_INPUT

COMMANDS = {
    "train": ("train.py", "train a network, or with -m a sweep of them"),
    "eval": ("eval.py", "measure a run again; count operations and energy"),
    "tables": ("scripts/tables.py", "reported beside reproduced, row by row"),
    "compare": ("scripts/compare.py", "neurons under one recipe: mean, std, n"),
    "bench": ("scripts/bench.py", "is a neuron better than others, and how sure is that"),
    "dashboard": ("scripts/dashboard.py", "all runs in one HTML file"),
    "figures": ("scripts/figures.py", "PNG and PDF: curves, firing rates, coefficients"),
    "prepare-data": ("scripts/prepare_data.py", "cut event data into frames ahead of time"),
    "sync-wandb": ("scripts/sync_wandb.py", "upload what wandb logged offline"),
    "show-kernels": ("snnbench.kernels.show", "the kernels that a neuron gets"),
    "export": ("scripts/export.py", "a run as a folder for others: weights, config, model card"),
    "new": ("scripts/new.py", "a neuron, backbone or data set of your own to begin with"),
    "doctor": ("snnbench.doctor", "which engine each device gets, and why"),
}
"""By name: the file at the top of a checkout, or the module, and what it does."""
HELP = """usage: snnbench COMMAND [...]     snnbench COMMAND --help says more

{commands}

  snnbench train neuron=dalif data=cifar100 T=2
  snnbench train -m neuron=lif,klif,dalif seed=0,1,2
  snnbench tables arlif

Your own neurons, networks and data: modules in the folder you are in, configs in its configs/."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command that `argv`, or else the command line, names."""
    name, *words = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        lines = "\n".join(f"  {name:14}{what}" for name, (_, what) in COMMANDS.items())
        return terminal.run(lambda: print(HELP.format(commands=lines)) or 0)
    if name in ("-V", "--version"):
        return terminal.run(lambda: print(f"snnbench {__version__}") or 0)
    target = COMMANDS.get(name.replace("_", "-"), ("", ""))[0]
    if not target:
        known = ", ".join(COMMANDS)
        print(f"error: snnbench {name}:{did_you_mean(name, COMMANDS)} Known: {known}.", file=sys.stderr)
        return WRONG_INPUT
    os.environ[commands.AS_TYPED] = "1"
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does: modules of one's own lie there
    try:
        return _run(target, name, words)
    except SystemExit as error:  # with which scripts end
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:  # while libraries were still being imported
        return INTERRUPTED


def _run(target: str, name: str, words: Sequence[str]) -> int:
    """What is a main program is run as one: processes that it starts find it by sys.argv, or by its module."""
    path = commands.ROOT / target
    in_a_run = target in ("train.py", "eval.py")
    sys.argv = [str(path) if in_a_run else f"snnbench {name}", *words]
    if not target.endswith(".py"):
        runpy.run_module(target, run_name="__main__")
        return 0
    module, before = ModuleType("__main__"), sys.modules["__main__"]
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    finally:
        sys.modules["__main__"] = before
    return 0

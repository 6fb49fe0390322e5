"""Upload to wandb what was logged offline: every such run below outputs/ (or any folders), once, by `wandb sync`.

python scripts/sync_wandb.py --plan      only say what would be uploaded
python scripts/sync_wandb.py my_outputs

A run that is still going on is left for the next time: wandb would take what is there for the whole.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from snnbench import commands, terminal
from snnbench.errors import UserError
from snnbench.runs.find import outputs
from snnbench.runs.result import Unreadable, read_result, status_of
from snnbench.training.loggers import has_wandb_key


def main(argv: Sequence[str] | None = None, upload: Callable[[list[Path]], int] | None = None) -> int:
    """0 uploaded, or nothing to upload; 1 `wandb sync` failed; 2 wrong input, or no key."""
    arguments = _parser().parse_args(argv)
    try:
        found = list(offline_logs(arguments.folders))
        _say(found)
        waiting = [log for log, state in found if state == "to upload"]
        if arguments.plan or not waiting:
            return 0
        if not has_wandb_key() and not sys.stdin.isatty():  # at a terminal, wandb asks for it
            raise UserError("no wandb key here: set WANDB_API_KEY, or log in once with `wandb login`.")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if (upload or sync)(waiting) else 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=commands.described(__doc__), formatter_class=form)
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[outputs()], help="default: $SNNBENCH_OUTPUTS, or outputs"
    )
    parser.add_argument("--plan", action="store_true", help="only say what would be uploaded")
    return parser


def offline_logs(folders: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The .wandb files of offline runs in and below `folders`, each with "to upload", "uploaded" or "going on".

    Raises:
        UserError: one of `folders` does not exist.
    """
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder. Runs lie in outputs/<name>/<time>.")
        for log in sorted(folder.rglob("offline-run-*/*.wandb")):
            if log.resolve() in seen:
                continue
            seen.add(log.resolve())
            if log.with_suffix(".wandb.synced").exists():  # which `wandb sync` leaves
                yield log, "uploaded"
            else:
                yield log, "going on" if _is_going_on(log.parents[2]) else "to upload"


def _is_going_on(folder: Path) -> bool:
    try:
        return status_of(folder, read_result(folder)) == "running"
    except Unreadable:
        return False


def _say(found: Sequence[tuple[Path, str]]) -> None:
    for log, state in found:
        if state != "uploaded":
            print(f"{state}: {log}")
    uploaded = sum(state == "uploaded" for _, state in found)
    print(f"{len(found)} offline runs, {uploaded} of them uploaded before", flush=True)


def sync(logs: list[Path]) -> int:
    """Upload by wandb itself; its exit code."""
    return subprocess.run([sys.executable, "-m", "wandb", "sync", *map(str, logs)], check=False).returncode


if __name__ == "__main__":
    sys.exit(terminal.run(main))

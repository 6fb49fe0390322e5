"""One stage, in a process of its own: python -m on_gpu.child MODULE STAGE FOLDER SECONDS."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

from on_gpu.record import Record
from on_gpu.where import where


def main(module: str, stage: str, folder: str, seconds: str) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background has off, here and in children
    record = Record(Path(folder), stage, float(seconds), where())
    importlib.import_module(module).run(record)
    record.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

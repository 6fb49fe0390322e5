"""A case in a process of its own, which ends in time and whose environment may be another."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from on_gpu.record import Late, Record, Row
from snnbench.files import read_json, write_json


def apart(
    module: str, given: Any, record: Record, seconds: float, least: float = 0.0, env: Mapping[str, str] | None = None
) -> Row:
    """What the module's `answer` makes of `given`; both travel as JSON.

    A case that had all of `seconds` has a row that says it was too slow.

    Raises:
        Late: it did not end before the stage has to, or there are not even the seconds `least` that it may take.
    """
    allowed = min(seconds, record.remaining - 1)
    if allowed < least:
        raise Late
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        process = subprocess.Popen([sys.executable, "-m", "on_gpu.apart", module, json.dumps(given), str(out)], env=env)
        try:
            process.wait(max(allowed, 0))
        except subprocess.TimeoutExpired as error:
            if allowed < seconds:
                raise Late from error
            return {"late": f"not done in {seconds:.0f} s"}
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}; the log says more")
        found: Row = read_json(out)
    return found


if __name__ == "__main__":
    import importlib

    name, text, path = sys.argv[1:]
    write_json(Path(path), importlib.import_module(name).answer(json.loads(text)))

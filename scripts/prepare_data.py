"""python scripts/prepare_data.py cifar10dvs T=4,8,16 [data.source=aedat4 ...] [--verify]

Fetch a data set, check it, and for event data pack its frames, so that no training run has to wait for it. The words
after the name are those of train.py; T may be a list. --verify reads every file once more, also such as nobody seems
to have touched, and of finished packs every checksum and a hundred recordings spread over the data set, whose frames
must equal the packed ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works in a checkout that is not installed


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 2 something is wrong with the data or the words."""
    from snnbench import commands

    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        description=commands.described(__doc__), formatter_class=form, usage=argparse.SUPPRESS
    )
    parser.add_argument("data", help="a name from configs/data")
    parser.add_argument("overrides", nargs="*", help="key=value, as for train.py")
    parser.add_argument("--verify", action="store_true", help="read all files anew, and check finished packs")
    words = parser.parse_intermixed_args(arguments)

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from snnbench import explain, log
    from snnbench.errors import UserError
    from snnbench.overrides import CommandLine

    log.to_terminal()
    typed = CommandLine("train", (ROOT / "configs",), overrides=(f"data={words.data}", *words.overrides))
    try:
        lengths = [word[2:].split(",") for word in words.overrides if word.startswith("T=")]
        others = [word for word in words.overrides if not word.startswith("T=")]
        for length in lengths[-1] if lengths else [None]:
            prepare(words.data, [*others, f"T={length}"] if length is not None else others, words.verify)
    except (HydraException, OmegaConfBaseException, UserError) as error:
        print(f"error: {explain.explain(error, typed)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        return 130
    return 0


def prepare(name: str, overrides: list[str], verify: bool) -> None:
    """Fetch, check and, for event data, pack or verify one configuration."""
    import hydra

    from snnbench import config
    from snnbench.data.events import EventData
    from snnbench.training import build

    config.register_schema()
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        anew = ["data.verify=full"] if verify and not any(word.startswith("data.verify=") for word in overrides) else []
        cfg = hydra.compose("train", [f"data={name}", *overrides, *anew])
    config.at_home(cfg)
    data: Any = build.make(cfg, "data", drop=())
    if not isinstance(data, EventData):
        data.prepare_data()
        found = data.files()
        content = f"; their content is {found['content']}" if found and found["content"] else ""
        print(f"{name}: its files are in {cfg.paths.data}{content}")
        return
    if verify:
        data.source.prepare()
        check(data)
    else:
        data.prepare_data()
    data.setup("fit")
    assert data.pack is not None
    sizes = {"train": len(data.train_set), **{key: len(part) for key, part in data.eval_sets.items()}}  # type: ignore[arg-type]
    parts = ", ".join(f"{key} {size}" for key, size in sizes.items())
    print(f"{name} T={cfg.T}: {data.pack.path} ({data.pack.frames.nbytes / 2**20:.0f} MiB; {data.split}: {parts})")


def check(data: Any) -> None:
    """Compare the finished pack with its checksums, and a hundred recordings' frames with it."""
    import numpy as np

    from snnbench.data.events.cache import Pack, look, unused
    from snnbench.data.events.frames import to_frames
    from snnbench.errors import UserError

    plan = data.plan()
    pack = look(plan, thorough=True)
    if not isinstance(pack, Pack):
        reason = pack or unused(plan) or "there is none"
        raise UserError(f"{plan.frames_path} is not whole: {reason}.\nWithout --verify it is packed anew.")
    row = 0
    step = max(1, len(plan.recordings) // 100)
    for index, recording in enumerate(plan.recordings):
        if index % step == 0:
            for place, events in enumerate(plan.source.read(recording), row):
                frames = to_frames(events, plan.source.height, plan.source.width, plan.rule)
                if not np.array_equal(frames, pack.frames[place]):
                    raise UserError(
                        f"{plan.frames_path}: sample {place} is not what {recording.path} holds now.\n"
                        "The recording has changed since: delete the pack."
                    )
        row += len(recording.samples)
    print(f"{plan.frames_path.name}: all {len(pack)} checksums right, every {step}. recording compared")


if __name__ == "__main__":
    from snnbench import terminal

    sys.exit(terminal.run(main))

"""What files a config's data would be read from now, for a sweep to compare with those of earlier runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from snnbench.errors import UserError
from snnbench.runs.fingerprint import Files

_DECIDING = ("_target_", "root", "source", "sources", "verify", "subset")


def files_here(config: Mapping[str, Any], found: dict[str, Files | None]) -> Files | None:
    """Of a resolved config; None where they are not there or damaged, which its run will find out and say.

    Nothing is downloaded.

    Args:
        config: of a job.
        found: those of jobs of the same moment; added to, so that a sweep looks at each data set once.
    """
    key = json.dumps({name: config["data"].get(name) for name in _DECIDING}, sort_keys=True, default=str)
    if key not in found:
        found[key] = _look(config)
    return found[key]


def _look(config: Mapping[str, Any]) -> Files | None:
    node = dict(config["data"])
    node |= {key: value for key, value in {"download": False, "batch_size": 1}.items() if key in node}
    try:
        data = instantiate(node, _convert_="all")
        data.source.prepare() if hasattr(data, "source") else data.prepare_data()
        return data.files() if hasattr(data, "files") else None
    except (UserError, OSError, InstantiationException) as error:
        logging.getLogger("snnbench").debug("no data to compare with: %s", error)
        return None

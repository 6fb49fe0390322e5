"""What files a config's data would be read from now, for a sweep to compare with those of earlier runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from snnbench.errors import UserError
from snnbench.runs.fingerprint import Files


def files_here(config: Mapping[str, Any]) -> Files | None:
    """Of a resolved config; None where they are not there or damaged, which its run will find out and say.

    Nothing is downloaded.
    """
    node = dict(config["data"])
    node |= {key: value for key, value in {"download": False, "batch_size": 1}.items() if key in node}
    try:
        data = instantiate(node, _convert_="all")
        data.source.prepare() if hasattr(data, "source") else data.prepare_data()
        return data.files() if hasattr(data, "files") else None
    except (UserError, OSError, InstantiationException) as error:
        logging.getLogger("snnbench").debug("no data to compare with: %s", error)
        return None

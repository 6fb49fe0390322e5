"""The page: data, libraries and the scripts that join them, in one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from snnbench.results.dashboard.details import compressed

HERE = Path(__file__).parent
STYLES = ("theme.css", "page.css", "runs.css", "panels.css", "narrow.css")  # later ones win


def page(data: Mapping[str, Any], details: list[str]) -> str:
    """The whole page.

    Args:
        data: what it needs from the start; its strings may hold anything.
        details: of each run, what it needs once the run is chosen.
    """
    import itables.options
    from plotly.offline import get_plotlyjs

    tables = Path(itables.options.dt_bundle)
    modules = {path.stem: path for path in sorted(HERE.glob("*.js"))} | {"datatables": tables}
    return Template((HERE / "page.html").read_text("utf-8")).substitute(
        imports=_json({"imports": {name: _url(path) for name, path in modules.items()}}),
        table_style=tables.with_suffix(".css").read_text("utf-8"),
        style="\n".join((HERE / name).read_text("utf-8") for name in STYLES),
        data=_json(data),
        details=_json(details),
        plotly=compressed(get_plotlyjs()),
    )


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _url(script: Path) -> str:
    """A script as an address, so that the page's modules find one another without a server."""
    return "data:text/javascript;base64," + base64.b64encode(script.read_bytes()).decode()

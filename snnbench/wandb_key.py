"""Whether wandb can log in without asking, found out without importing it."""

from __future__ import annotations

import netrc
import os
from urllib.parse import urlsplit


def has_wandb_key() -> bool:
    """A key or an identity token in the environment, or an entry for wandb's host where `wandb login` leaves it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "")).netloc or "wandb"
    try:
        return any(host in known for known in netrc.netrc(os.environ.get("NETRC")).hosts)
    except (OSError, netrc.NetrcParseError):
        return False

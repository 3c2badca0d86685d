"""Where things lie unless told otherwise. It imports nothing that takes time."""

from __future__ import annotations

import os
from pathlib import Path


def default_base_path(chain_id: str) -> Path:
    """Where a chain's data lies unless told otherwise."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "solvent" / chain_id

"""Where a user's own configuration lies."""

from __future__ import annotations

import os
from pathlib import Path


def user_file(name: str) -> Path:
    """The file ``name`` below ``$XDG_CONFIG_HOME`` or ``~/.config``, whether it exists or not."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", name)


def is_there(place: Path) -> bool:
    """Whether there is such a file or folder, as far as this user may look: services run with homes of others."""
    try:
        place.stat()
    except OSError:
        return False
    return True

"""Starting our own modules in a Python of their own, which looks for nothing in the folder where it works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent.parent


def python_module(name: str) -> list[str]:
    """The command that runs the module ``name`` of this package.

    Current folders are projects, and ``python -m`` would import what it needs from there first. Only a checkout that is
    not installed is found no other way: ``python -m trio_recipes`` sees to that itself (``_ground.py``).
    """
    safely = () if _ROOT.samefile(".") else ("-P",)
    return [sys.executable, *safely, "-m", name]

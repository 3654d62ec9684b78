"""What a call of the tool comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_recipes.classes import frozen


@frozen
class ToolResult:
    """The answer to one call: JSON values only.

    Args:
        success: whether the operation did what was asked; a recipe that pauses for approval did.
        output: what it came to, if it succeeded: an object, mostly with ``status``.
        error: if it did not: ``message`` and ``type``, the name of the exception's class; and what helps to go on,
            such as ``session_id``, ``errors``, ``hint`` or ``resume_info``.
    """

    success: bool
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """One object for the agent: ``success``, and ``output`` or ``error``."""
        part = {"output": self.output} if self.success else {"error": self.error}
        return {"success": self.success, **part}

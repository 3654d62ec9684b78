"""Moments as people and JSON readers see them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC, with microseconds and ``Z``."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

"""Sentences that several operations say to the agent."""

from __future__ import annotations


def resume_info(session_id: str) -> str:
    """How to go on with a session that has stopped."""
    return f"Use 'resume' with session_id '{session_id}' to go on where it stopped; finished steps are not run again."

"""All groups of cases, in the order in which they are measured."""

from __future__ import annotations

from benchmarks.cases import (
    cancel_command,
    cancel_depth,
    cancel_doors,
    cancel_other_process,
    cancel_request,
    cancel_signal,
    cancel_tree,
    cancel_width,
    many_sessions,
    memory,
    others,
    resume,
    start_up,
    step_cost,
)

GROUPS = (
    cancel_width.GROUP,
    cancel_depth.GROUP,
    cancel_tree.GROUP,
    cancel_other_process.GROUP,
    cancel_command.GROUP,
    cancel_request.GROUP,
    cancel_doors.GROUP,
    cancel_signal.GROUP,
    start_up.GROUP,
    step_cost.GROUP,
    resume.GROUP,
    memory.GROUP,
    many_sessions.GROUP,
    others.GROUP,
)

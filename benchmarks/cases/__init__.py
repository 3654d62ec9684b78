"""All groups of cases, in the order in which they are measured."""

from __future__ import annotations

from benchmarks.cases import (
    cancel_command,
    cancel_depth,
    cancel_other_process,
    cancel_tree,
    cancel_width,
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
    start_up.GROUP,
    step_cost.GROUP,
    resume.GROUP,
)

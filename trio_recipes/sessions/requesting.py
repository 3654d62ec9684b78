"""Asking a session to stop, or deciding on its gate, and seeing to it that it is finished.

If nobody runs the session and its ``finally`` steps are due, whoever asks must not wait for them, and may be a command
that imports no trio: a detached process (:mod:`trio_recipes.sessions.finisher`) is started for that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from trio_recipes.errors import SessionError
from trio_recipes.interpreter import python_module
from trio_recipes.store.requests import submit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.store.approvals import Settled
    from trio_recipes.store.requests import Ack
    from trio_recipes.store.session_file import SessionFile


_FINISHER = "trio_recipes.sessions.finisher"


def request(file: SessionFile, cancellation: Mapping[str, Any], *, escalates: bool) -> Ack:
    """Ask a session to stop, and see to it that it is finished: see :func:`trio_recipes.store.requests.submit`."""
    ack = submit(file, cancellation, escalates=escalates)
    if ack.unfinished:
        start(file)
    return ack


def settle(file: SessionFile, stage: str, **decision: Any) -> Settled:
    """Decide on a gate, and see to it that a denial is final: see :func:`trio_recipes.store.approvals.decide`.

    Raises:
        SessionError: if the gate can't be decided so, or its default came first.
    """
    from trio_recipes.store.approvals import decide  # noqa: PLC0415  not for `cancel`

    settled = decide(file, stage, **decision)
    if settled.unfinished:
        start(file)
    if settled.expired:
        gate = settled.gate
        raise SessionError(
            f"too late: nobody decided on '{gate.path}' within {gate.timeout:g} s, so its default holds: {gate.default}"
        )
    return settled


def lapse(file: SessionFile) -> list[Settled]:
    """Apply the defaults that are due: see :func:`trio_recipes.store.approvals.expire`."""
    from trio_recipes.store.approvals import expire  # noqa: PLC0415  not for `cancel`

    settled = expire(file)
    if any(one.unfinished for one in settled):
        start(file)
    return settled


def start(file: SessionFile) -> None:
    """Start a finisher, detached. Two of them are no harm: one gets the session, the other is refused and ends."""
    import subprocess  # noqa: PLC0415  a few milliseconds that `cancel` saves
    import threading  # noqa: PLC0415

    from trio_recipes.processes import detached  # noqa: PLC0415  trio: only where a finisher is needed

    finisher = subprocess.Popen(
        [*python_module(_FINISHER), str(file.layout.root), file.session_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=detached(os.environ),
        cwd="/",
        start_new_session=True,
    )
    threading.Thread(target=finisher.wait, daemon=True).start()  # a host that lives on keeps no zombie

"""Any order of approving, denying, cancelling, resuming and killing: decisions are made once, and nothing is lost."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.campaign.lab import Lab, eventually
from trio_recipes import ApprovalStatus, SessionError, SessionStatus, open_runtime
from trio_recipes.events import ApprovalDecided

FINAL = (SessionStatus.COMPLETED, SessionStatus.DENIED)
GATES = ("one", "two/each[0]/check", "two/each[1]/check")
ACTS = st.one_of(
    st.tuples(st.just("approve"), st.sampled_from(GATES)),
    st.tuples(st.just("deny"), st.sampled_from(GATES)),
    *(st.tuples(st.just(act), st.just("")) for act in ("resume", "resume", "cancel", "kill")),
)


def bash(name: str, command: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "type": "bash", "command": command, "output": name, **fields}


def asks(prompt: str) -> dict[str, Any]:
    return {"required": True, "prompt": prompt}


def write(lab: Lab) -> Path:
    """A gate at the root, then one in each iteration of a parallel loop over sub-recipes."""
    stages = [
        {"name": "check", "steps": [bash("look", "echo looked at {{item}}")], "approval": asks("{{look}}")},
        {"name": "use", "steps": [bash("using", "echo {{_approval_message}}")]},
    ]
    lab.write("sub", context={"item": ""}, stages=stages)
    each = {"id": "each", "type": "recipe", "recipe": "sub.yaml", "context": {"item": "{{item}}"}, "collect": "all"}
    loop = {**each, "foreach": "{{items}}", "parallel": True}
    stages = [
        {"name": "one", "steps": [bash("first", "echo 1")], "approval": asks("{{first}}")},
        {"name": "two", "steps": [bash("second", "echo {{_approval_message}}"), loop]},
        {"name": "three", "steps": [bash("third", "echo {{second}}")]},
    ]
    return lab.write("ordered", context={"items": ["x", "y"]}, stages=stages)


@define
class Play:
    """One session, and what we know must hold for it."""

    lab: Lab
    session_id: str = ""
    decided: dict[str, bool] = field(factory=dict)
    final: SessionStatus | None = None

    async def run(self, what: Path | None = None) -> None:
        """Start it, or resume it, until it pauses or ends."""
        async with open_runtime(store=str(self.lab.store), project=self.lab.root, durability="process") as runtime:
            session = await (runtime.resume(self.session_id) if what is None else runtime.start(what))
            self.session_id = session.id
            await session.wait()

    def resume(self) -> None:
        trio.run(self.run)

    def act(self, what: str, gate: str) -> None:
        if what in ("approve", "deny"):
            self.decide(gate, approved=what == "approve")
        elif what == "cancel":
            self.lab.manager.request_cancellation(self.session_id, self.lab.root)
        elif self.status not in FINAL:
            self.resume() if what == "resume" else self.kill()
        self.check()

    def decide(self, gate: str, *, approved: bool) -> None:
        status = ApprovalStatus.APPROVED if approved else ApprovalStatus.DENIED
        try:
            self.lab.manager.set_stage_approval_status(self.session_id, self.lab.root, gate, status, f"to {gate}")
        except SessionError:
            return
        assert gate not in self.decided, "decided twice"
        self.decided[gate] = approved

    def kill(self) -> None:
        """Resume it in another process, and kill that while it waits; or let it end."""
        runner = self.lab.resume(self.session_id, "--wait-approval")
        eventually(lambda: runner.code is not None or self.waits())
        runner.kill()
        eventually(lambda: self.status is not SessionStatus.RUNNING)

    def waits(self) -> bool:
        running = self.status is SessionStatus.RUNNING
        return running and bool(self.lab.manager.list_pending_approvals(self.lab.root))

    @property
    def status(self) -> SessionStatus:
        return SessionStatus(self.lab.status(self.session_id))

    def check(self) -> None:
        """What must hold after each act."""
        made = [e for e in self.lab.events(self.session_id) if isinstance(e, ApprovalDecided)]
        assert {event.path: event.approved for event in made} == self.decided
        assert len(made) == len(self.decided)
        assert self.final in (None, self.status)
        if self.status in FINAL:
            self.final = self.status
        if self.status is SessionStatus.DENIED:
            assert not all(self.decided.values())

    def finish(self) -> None:
        """Approve what is left, and resume until it is over."""
        for _ in range(4):
            for gate in GATES:
                self.act("approve", gate)
            self.act("resume", "")


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The variables that a run leaves that was approved at once."""
    with tempfile.TemporaryDirectory() as folder:
        return played(Path(folder), [])[1]


def played(folder: Path, acts: list[tuple[str, str]]) -> tuple[Play, dict[str, Any]]:
    lab = Lab(folder / "lab")
    try:
        play = Play(lab)
        trio.run(play.run, write(lab))
        for act in acts:
            play.act(*act)
        play.finish()
        return play, lab.context(play.session_id)
    finally:
        lab.close()


@pytest.mark.slow
@settings(max_examples=12)
@given(acts=st.lists(ACTS, min_size=1, max_size=6))
def test_any_order_of_acts(acts: list[tuple[str, str]], whole: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play, context = played(Path(folder), acts)
    approved = all(play.decided.values())
    assert play.final is (SessionStatus.COMPLETED if approved else SessionStatus.DENIED)
    assert not approved or context == whole

"""Decisions on gates in the store: one per gate, whoever decides, whether anybody runs the session or not."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from tests.store.helpers import ID, a_session, ask, end, lock_in, resumed, rows, run_by
from trio_recipes.errors import SessionBusyError, SessionError
from trio_recipes.events import ApprovalDecided, ApprovalRequested, ApprovalStatus, SessionStatus
from trio_recipes.store import approvals
from trio_recipes.store.approvals import Settled, decide, expire, pending, statuses
from trio_recipes.store.runs import Opening
from trio_recipes.store.session_file import SessionFile
from trio_recipes.store.sqlite import SqliteStore


def asked(opening: Opening, *paths: str, **more: float | str | bool) -> None:
    """The owner asks at some gates."""
    events = [ApprovalRequested(path=p, stage=p.split("/")[-1], prompt="Ship?", **more) for p in paths]  # type: ignore[arg-type]
    with opening.file.reading() as connection:
        last = opening.file.last_seq(connection)
    opening.file.append(opening.connection, opening.claim, rows(last, *events, run=opening.run))


def paused(store: SqliteStore, *paths: str, **more: float | str | bool) -> SessionFile:
    """A session that waits at some gates, and that nobody runs."""
    lock = lock_in(store)
    opening = run_by(store, lock)
    asked(opening, *paths or ("build",), **more)
    end(opening, SessionStatus.PAUSED)
    lock.release()
    return opening.file


def interrupted(store: SqliteStore, *paths: str) -> SessionFile:
    """One whose runner was killed at its gates."""
    lock = lock_in(store)
    opening = run_by(store, lock)
    asked(opening, *paths or ("build",))
    opening.connection.close()
    lock.release()
    return opening.file


def approve(file: SessionFile, stage: str = "build", **more: str) -> Settled:
    return decide(file, stage, approved=True, **more)


def deny(file: SessionFile, stage: str = "build", **more: str) -> Settled:
    return decide(file, stage, approved=False, **more)


# --- nobody runs it ----------------------------------------------------------------------------------------------


def test_an_approval_waits_for_the_resume(store: SqliteStore) -> None:
    file = paused(store)
    assert not approve(file, by="ada").running
    assert pending(file) == []
    assert store.standing(ID).status is SessionStatus.PAUSED
    (gate,) = resumed(file, lock_in(store)).progress.gates.values()
    assert gate.decided == ApprovalDecided(path="build", approved=True, by="ada", via="user")


def test_a_denial_ends_it_at_once(store: SqliteStore) -> None:
    file = paused(store)
    deny(file, by="bob", message="too early")
    standing = store.standing(ID)
    assert standing.status is SessionStatus.DENIED
    assert standing.ended is not None
    assert standing.ended["failure"]["message"] == "stage 'build' was denied by bob: too early"


@pytest.mark.parametrize(("approved", "status"), [(True, SessionStatus.INTERRUPTED), (False, SessionStatus.DENIED)])
def test_a_gate_of_a_killed_runner_can_be_decided(store: SqliteStore, approved: bool, status: SessionStatus) -> None:
    file = interrupted(store)
    with file.reading() as connection:
        died = file.owner(connection)[1]
    decide(file, "build", approved=approved)
    assert store.standing(ID).status is status
    if approved:
        assert resumed(file, lock_in(store)).died == died  # who makes sure that nothing of it is left


def test_a_decision_before_the_start_is_kept(store: SqliteStore) -> None:
    file = a_session(store)
    approvals.ask(file, "build", {"prompt": "Ship?"})
    approve(file)
    assert resumed(file, lock_in(store)).progress.gates["build"].decided is not None


# --- somebody runs it --------------------------------------------------------------------------------------------


def test_a_decision_is_a_request_to_the_owner(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    asked(opening, "build")
    assert approve(opening.file, by="ada").running
    with opening.file.reading() as connection:
        (row,) = opening.file.unanswered(connection)
    assert opening.progress.gates == {}  # the owner's to say
    assert (row.id, row.is_decision, row.body["by"]) == (f"gate-{opening.last_seq + 1}", True, "ada")
    assert statuses(opening.file) == {"build": ApprovalStatus.APPROVED}


def test_a_resume_honours_what_a_killed_owner_had_not_seen(store: SqliteStore) -> None:
    lock = lock_in(store)
    opening = run_by(store, lock)
    asked(opening, "build")
    deny(opening.file)
    opening.connection.close()
    lock.release()
    assert pending(opening.file) == []
    with pytest.raises(SessionError, match="too late: 'build' was denied"):
        approve(opening.file)
    (gate,) = resumed(opening.file, lock_in(store)).progress.denied_gates
    assert gate.asked.path == "build"


# --- one decision per gate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("alive", [True, False])
def test_of_many_deciders_one_wins(store: SqliteStore, alive: bool) -> None:
    lock = lock_in(store)
    opening = run_by(store, lock)
    asked(opening, "build")
    if not alive:
        end(opening, SessionStatus.PAUSED)
        lock.release()

    def one(number: int) -> str:
        try:
            return decide(opening.file, "build", approved=bool(number % 2)).gate.path
        except SessionError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        told = sorted(pool.map(one, range(16)))
    assert told[0] == "build"
    assert all(text.startswith("too late: 'build' was ") for text in told[1:])


@pytest.mark.parametrize(
    "status", [SessionStatus.COMPLETED, SessionStatus.CANCELLED, SessionStatus.FAILED, SessionStatus.DENIED]
)
def test_it_is_too_late_once_the_session_has_ended(store: SqliteStore, status: SessionStatus) -> None:
    opening = run_by(store, lock_in(store))
    asked(opening, "build")
    end(opening, status)
    with pytest.raises(SessionError, match=rf"No pending approval for session: {ID} \(too late: it is {status}\)"):
        approve(opening.file)
    assert pending(opening.file) == []


def test_a_late_decision_is_told_what_it_lost_to(store: SqliteStore) -> None:
    file = paused(store)
    approve(file, by="ada", message="fine")
    with pytest.raises(SessionError, match="too late: 'build' was approved by ada: fine"):
        deny(file, by="bob")
    assert store.standing(ID).status is SessionStatus.PAUSED


def test_a_cancel_that_came_first_is_what_it_lost_to(store: SqliteStore) -> None:
    file = paused(store)
    ask(file, "c")
    with pytest.raises(SessionError, match="is cancelled"):
        approve(file)


# --- names -------------------------------------------------------------------------------------------------------

PATHS = ("audit[0]/release", "audit[1]/release", "audit[1]/sub/check", "release")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("release", "release"),  # the path itself goes before what else ends so
        ("audit[1]/release", "audit[1]/release"),
        ("check", "audit[1]/sub/check"),
        ("audit/check", "audit[1]/sub/check"),
    ],
)
def test_a_gate_is_found_by_path_stage_and_compound_name(store: SqliteStore, name: str, path: str) -> None:
    assert approve(paused(store, *PATHS), name).gate.path == path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("audit/release", r"could be audit\[0\]/release, audit\[1\]/release: give the path"),
        ("nothing", "Stage mismatch: pending approval is for 'audit"),
    ],
)
def test_names_that_do_not_mean_one_gate_are_refused(store: SqliteStore, name: str, says: str) -> None:
    file = paused(store, *PATHS)
    with pytest.raises(SessionError, match=says):
        approve(file, name)
    assert len(pending(file)) == 4


def test_a_session_without_a_gate_says_so(store: SqliteStore) -> None:
    with pytest.raises(SessionError, match="No pending approval for session"):
        approve(run_by(store, lock_in(store)).file)


@pytest.mark.parametrize(
    ("via", "passes"), [("user", True), ("web", True), ("api", True), ("tool", False), ("mcp", False)]
)
def test_a_gate_for_people_refuses_machines(store: SqliteStore, via: str, passes: bool) -> None:
    file = paused(store, human=True)
    with nullcontext() if passes else pytest.raises(SessionError, match="asks for a person"):
        approve(file, via=via)
    assert (pending(file) == []) is passes


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "status", "stage"),
    [
        ("deny", SessionStatus.DENIED, ApprovalStatus.TIMEOUT),
        ("approve", SessionStatus.PAUSED, ApprovalStatus.APPROVED),
    ],
)
def test_the_default_applies_at_the_next_look(
    store: SqliteStore, default: str, status: SessionStatus, stage: ApprovalStatus
) -> None:
    file = paused(store, timeout=0.000_001, default=default)
    assert store.standing(ID).status is SessionStatus.PAUSED
    (settled,) = expire(file)
    assert settled.expired
    assert store.standing(ID).status is status
    assert statuses(file) == {"build": stage}
    assert expire(file) == []


def test_whoever_decides_too_late_applies_the_default_instead(store: SqliteStore) -> None:
    file = paused(store, timeout=0.000_001)
    settled = approve(file)
    assert (settled.expired, settled.approved) == (True, False)
    assert store.standing(ID).status is SessionStatus.DENIED


def test_a_gate_whose_time_is_not_over_is_left_alone(store: SqliteStore) -> None:
    file = paused(store, timeout=3600)
    assert expire(file) == []
    assert len(pending(file)) == 1


# --- asking by hand ----------------------------------------------------------------------------------------------


def test_nobody_else_asks_while_somebody_runs_it(store: SqliteStore) -> None:
    opening = run_by(store, lock_in(store))
    asked(opening, "build")
    with pytest.raises(SessionBusyError):
        approvals.ask(opening.file, "other", {"prompt": "?"})
    with pytest.raises(SessionBusyError):
        approvals.withdraw(opening.file)


def test_a_question_can_be_withdrawn_and_a_decision_can_not(store: SqliteStore) -> None:
    file = paused(store, "build", "ship")
    approve(file, "build")
    approvals.withdraw(file)
    assert statuses(file) == {"build": ApprovalStatus.APPROVED}
    with pytest.raises(SessionError, match="too late: 'build' was approved"):
        approvals.ask(file, "build", {"prompt": "Really?"})


def test_what_ended_the_run_is_what_its_gates_lost_to(store: SqliteStore) -> None:
    file = paused(store, "build", "ship")
    deny(file, "build")
    with pytest.raises(SessionError, match="is denied"):
        approve(file, "ship")

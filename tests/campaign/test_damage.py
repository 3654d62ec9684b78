"""Session files that were cut, overwritten or edited: every command answers, and other sessions are not affected.

``python -m benchmarks.reliability damage --files 2000`` does the same for longer.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.damage import Ruin
from tests.campaign.lab import Lab
from tests.campaign.testimony import Verdict, hear, judge
from trio_recipes.store.base import open_store
from trio_recipes.testing import runners

pytestmark = pytest.mark.slow

SEED = 26


@pytest.fixture(scope="module")
def ruin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ruin]:
    with runners() as forks:
        yield Ruin(Lab(tmp_path_factory.mktemp("ruin") / "lab"), forks)


@pytest.mark.parametrize("number", range(12))
def test_damage_is_told_and_stays_where_it_is(ruin: Ruin, number: int) -> None:
    assert ruin.damage(number, SEED) == []


def test_damage_is_noticed_unless_it_hit_nothing_that_is_said(ruin: Ruin) -> None:
    problems = [problem for number in range(12, 24) for problem in ruin.damage(number, SEED)]
    assert problems == []
    assert ruin.verdicts[Verdict.REPORTED] > 1
    assert ruin.reported > 10


def test_a_damaged_session_can_be_watched_exported_and_gone_on_with(lab: Lab, tmp_path: Path) -> None:
    recipe = lab.write("plain", steps=[lab.step("a"), lab.step("b"), lab.step("c")])
    done = lab.run(recipe)
    done.ended()
    database, archive = lab.store / "sessions" / done.session_id / "session.db", tmp_path / "saved.jsonl"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE events SET body = replace(body, 'completed', 'cancelled') WHERE path = 'b'")
    connection.close()
    shown = lab.command("show", done.session_id)
    assert shown.code == 2
    assert "is not what was written" in shown.stderr
    assert f"export {done.session_id} FILE" in shown.stderr
    watched = lab.command("watch", done.session_id, "--json")
    assert watched.code == 2
    assert '"path":"a"' in watched.stdout
    assert "is not what was written" in watched.stderr
    assert lab.command("export", done.session_id, str(archive)).code == 1
    assert "kept in" in lab.command("import", str(archive)).stdout
    assert lab.command("resume", done.session_id).code == 0
    assert lab.command("show", done.session_id).code == 0


@pytest.mark.parametrize("name", ["completed", "interrupted, tidied"])
def test_no_bit_of_a_database_changes_what_its_session_says(ruin: Ruin, name: str) -> None:
    """Of the bytes that are not zero a few hundred, some that are, and in each a bit, drawn by chance."""
    chance, session = random.Random(f"{SEED}/{name}"), ruin.victims[name]
    file = open_store(str(ruin.lab.store)).file(session)
    database = file.layout.database(session)
    truth, whole = hear(file), database.read_bytes()
    found = Counter[Verdict]()
    try:
        for at in chance.sample([at for at, byte in enumerate(whole) if byte or not at % 50], 400):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << chance.randrange(8)
            database.write_bytes(damaged)
            found[judge(file, truth)] += 1
    finally:
        database.write_bytes(whole)
    assert not found[Verdict.WRONG] + found[Verdict.EARLIER], found
    assert found[Verdict.REPORTED] > found[Verdict.HARMLESS], found


def test_a_damaged_session_is_listed_as_one_and_named(lab: Lab) -> None:
    done = lab.run(lab.write("plain", steps=[lab.step("a")]))
    done.ended()
    whole = lab.run(lab.write("other", steps=[lab.step("b")]))
    whole.ended()
    database: Path = lab.store / "sessions" / done.session_id / "session.db"
    database.write_bytes(database.read_bytes()[:5000])
    listed = lab.command("list", "--all")
    assert listed.code == 0
    by_id = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert "damaged" in by_id[done.session_id]
    assert "completed" in by_id[whole.session_id]
    for command in ("show", "resume", "cancel"):
        told = lab.command(command, done.session_id)
        assert told.code == 2
        assert str(database) in told.stderr
        assert len(told.stderr.splitlines()) == 1

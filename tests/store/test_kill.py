"""kill -9 while commits are under way: the file opens, numbers have no gaps, nothing acknowledged is lost."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.store.helpers import ID, open_store
from trio_recipes.events import SessionStatus

WRITER = """
import sys
from functools import partial
from pathlib import Path
import trio
from tests.store.helpers import ID, lock_in, open_store, output, resumed, run_by
from trio_recipes.store.journal import Journal, SessionLog

async def main(store, opening):
    async with Journal() as journal:
        log = SessionLog(journal, opening.file, opening.claim, opening.run, opening.last_seq, opening.connection)
        async def emitter():
            while True:
                log.emit(output("x" * 500))
                seq = log.emit(output("x" * 500))
                await log.durable(seq)
                print(seq, flush=True)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(emitter)

store = open_store(Path(sys.argv[1]), sys.argv[2])
lock = lock_in(store)
opening = resumed(store.file(ID), lock) if store.exists(ID) else run_by(store, lock)
trio.run(main, store, opening)
"""


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])  # power: with a log that is laid out ahead
def test_nothing_acknowledged_is_lost(tmp_path: Path, durability: str) -> None:
    store = open_store(tmp_path, durability)
    moments = random.Random(4711)
    for kill in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path), durability]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline())]
        time.sleep(moments.uniform(0, 0.2))  # a random moment, not a wait for something
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.communicate()
        file = store.file(ID)
        with file.reading() as connection:
            seqs = [row[0] for row in file.rows(connection)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert max(acknowledged) <= len(seqs)
        assert store.standing(ID).status is SessionStatus.INTERRUPTED
        assert store.standing(ID).run == kill + 1

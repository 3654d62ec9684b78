"""Damage to a session's files, drawn by chance (``python -m benchmarks.reliability damage --files 2000``).

One store holds a session that stays whole, and one in some state whose files are cut or overwritten. Every command that
reads sessions is then run, in this process: each has to answer, or to say in one line what is wrong with which session,
and the whole session stays as it was. What a damaged session says of itself, if it says anything, has to be true.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import IO, Final

from attrs import define, field, frozen

from tests.campaign.lab import Lab, eventually
from tests.campaign.testimony import Testimony, Verdict, hear, judge
from trio_recipes.frontends.cli.main import main as command_line
from trio_recipes.store.base import open_store
from trio_recipes.store.owner import is_alive
from trio_recipes.testing import CrashLab, Forks, Moment, Never, kill_at

VICTIMS: Final[dict[str, Moment]] = {
    "completed": Never(),
    "interrupted": kill_at("scope_finished", 3),
    "just begun": kill_at("run_started"),
    "killed in its loop": kill_at("scope_finished", 5),
}
"""Sessions to be damaged, by the moment at which their runners die. Those that were killed leave a log behind."""

TIDIED: Final = ("interrupted", "killed in its loop")
"""Of these there is another one, whose log was brought into its database by who looked at it."""

COMMANDS: Final = (
    ("list",),
    ("list", "--json"),
    ("approvals",),
    ("show", "VICTIM"),
    ("show", "VICTIM", "--json"),
    ("show", "VICTIM", "--output", "a"),
    ("watch", "VICTIM", "--json"),
    ("resume", "VICTIM", "--plan"),
    ("resume", "VICTIM", "--from", "a", "--plan"),
    ("cancel", "VICTIM"),
    ("approve", "VICTIM", "a"),
    ("resume", "VICTIM", "--json"),
    ("clean", "--older-than", "0", "--status", "failed,cancelled"),
)
"""In this order; what comes later may change the session."""


@frozen
class Damage:
    """What is done to a file."""

    name: str
    do: Callable[[bytearray, random.Random], bytes]


def _cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data) + 1)])


def _flip(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _overwrite(data: bytearray, chance: random.Random) -> bytes:
    begin, length = chance.randrange(len(data)), chance.choice((1, 16, 300, 4096))
    end = min(begin + length, len(data))
    data[begin:end] = chance.randbytes(end - begin)
    return bytes(data)


def _blank(data: bytearray, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data)) // 512 * 512
    end = min(begin + chance.choice((512, 4096)), len(data))
    data[begin:end] = bytes(end - begin)
    return bytes(data)


def _swap_pages(data: bytearray, chance: random.Random) -> bytes:
    pages = len(data) // 4096
    one, other = (chance.randrange(pages) * 4096 for _ in "ab") if pages else (0, 0)
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]
    return bytes(data)


def _in_text(data: bytearray, chance: random.Random) -> bytes:
    """Change a letter within JSON: the database is whole, what it says is not."""
    braces = [n for n, byte in enumerate(data) if byte in b'{}":,'] or [0]
    data[chance.choice(braces)] = chance.choice(b"x{}[]1\x00\xff")
    return bytes(data)


def _in_word(data: bytearray, chance: random.Random) -> bytes:
    """Change a letter within a word, or a digit within a number: JSON stays JSON, and says something else."""
    first, last = chance.choice([word.span() for word in _WORD.finditer(data)] or [(0, 1)])
    at = chance.randrange(first, last)
    data[at] = chance.choice([byte for byte in (_DIGITS if data[at] in _DIGITS else _LETTERS) if byte != data[at]])
    return bytes(data)


_WORD: Final = re.compile(rb"[a-z]{3,}|(?<=[1-9])[0-9]+")
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"


def _in_page_head(data: bytearray, chance: random.Random) -> bytes:
    """Change what a page says of itself: how many rows it has, and where they are."""
    page = chance.randrange(max(1, len(data) // 4096)) * 4096
    at = min(page + chance.randrange(32) + (100 if page == 0 else 0), len(data) - 1)
    data[at] = (data[at] + chance.choice((-1, 1, 2, 128))) % 256
    return bytes(data)


def _copy_page(data: bytearray, chance: random.Random) -> bytes:
    pages = len(data) // 4096
    one, other = (chance.randrange(pages) * 4096 for _ in "ab") if pages else (0, 0)
    data[one : one + 4096] = data[other : other + 4096]
    return bytes(data)


DAMAGES: Final = tuple(
    Damage(do.__name__.strip("_"), do)
    for do in (
        *(_cut, _flip, _overwrite, _blank, _swap_pages, _copy_page),
        *(_in_text, _in_word, _in_word, _in_page_head),
    )
)


@frozen
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str


def ask(*arguments: str) -> Answer:
    """Run the command line in this process."""
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        with _redirected(1, out), _redirected(2, err), redirect_stderr(err):
            code = command_line(arguments)
            err.flush()
        return Answer(code, _read(out), _read(err))


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


@contextmanager
def _redirected(fd: int, file: IO[str]) -> Generator[None]:
    """The command line writes to descriptors, not only to ``sys.stderr``."""
    kept = os.dup(fd)
    os.dup2(file.fileno(), fd)
    try:
        yield
    finally:
        os.dup2(kept, fd)
        os.close(kept)


def recipe_in(lab: Lab) -> Path:
    """A recipe whose steps are quick: it may well be resumed a thousand times."""
    loop = {"id": "each", "type": "bash", "command": "echo {{item}}", "foreach": "{{items}}", "collect": "all"}
    lab.write("sub", context={"items": [1, 2]}, steps=[loop])
    steps = [
        {"id": "a", "type": "bash", "command": "echo one", "output": "a"},
        {"id": "call", "type": "recipe", "recipe": "sub.yaml", "output": "called"},
        {"id": "z", "type": "bash", "command": "echo {{a}}", "output": "z"},
    ]
    return lab.write("victim", steps=steps)


def _copy(source: Path, target: Path) -> None:
    """Make a session's folder a copy of another one."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("wake"))


@define(eq=False)
class Ruin:
    """A store that is damaged again and again.

    Args:
        lab: its place; it holds one session that stays whole, and one victim of each kind.
        forks: for the runners that make them.

    Attributes:
        commands: how many were run.
        reported: how many of them said that a session is damaged.
        verdicts: what the damages came to.
        misled: how many of them came to what they must not.
    """

    lab: Lab
    forks: Forks
    whole: str = field(default="", init=False)
    victims: dict[str, str] = field(factory=dict, init=False)
    commands: int = field(default=0, init=False)
    reported: int = field(default=0, init=False)
    verdicts: Counter[Verdict] = field(factory=Counter, init=False)
    misled: int = field(default=0, init=False)
    _truths: dict[str, Testimony] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        place, recipe = CrashLab(self.lab.store, self.lab.root, forks=self.forks), recipe_in(self.lab)
        self.whole = place.run(recipe, Never()).session_id
        for name, moment in VICTIMS.items():
            self.victims[name] = place.run(recipe, moment).session_id
        for name in TIDIED:
            self.victims[f"{name}, tidied"] = session = place.run(recipe, VICTIMS[name]).session_id
            self._tidy(session)
        eventually(self._is_at_rest, "the watchmen of the runners that were killed")
        for session in self.victims.values():
            _copy(self.lab.store / "sessions" / session, self._backup(session))

    def _backup(self, session: str) -> Path:
        """Each victim as it was left: `list` tidies the logs of all sessions away."""
        return self.lab.root / "victims" / session

    def _is_at_rest(self) -> bool:
        layout = open_store(str(self.lab.store)).layout
        return not any(is_alive(layout, lock.stem) for lock in layout.runners.glob("*.lock"))

    def _tidy(self, session: str) -> None:
        connection = open_store(str(self.lab.store)).file(session).connect()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def damage(self, number: int, seed: int) -> list[str]:
        """Damage one victim, run every command on it, and put it back; returns what was wrong with the answers."""
        chance = random.Random(f"{seed}/{number}")
        name, damage = chance.choice([*self.victims]), chance.choice(DAMAGES)
        session = self.victims[name]
        folder, backup = self.lab.store / "sessions" / session, self._backup(session)
        _copy(backup, folder)
        try:
            file = chance.choice([file for file in sorted(backup.iterdir()) if file.stat().st_size])
            damaged = damage.do(bytearray(file.read_bytes()), chance)
            what = f"{number}: {damage.name} {file.name} of one {name}"
            problems = self._misled(session, backup, file.name, damaged)
            (folder / file.name).write_bytes(damaged)
            return [f"{what}: {problem}" for problem in [*problems, *self._problems(session)]]
        finally:
            _copy(backup, folder)
            os.mkfifo(folder / "wake", 0o600)

    def _misled(self, session: str, backup: Path, name: str, damaged: bytes) -> list[str]:
        """Who reads the session must not be told what is not so; at most, by its log, what was so some steps before."""
        folder = self.lab.store / "sessions" / session
        file = open_store(str(self.lab.store)).file(session)
        if session not in self._truths:
            self._truths[session] = hear(file)
            _copy(backup, folder)
        (folder / name).write_bytes(damaged)
        verdict = judge(file, self._truths[session])
        self.verdicts[verdict] += 1
        _copy(backup, folder)  # who reads a session tidies its log away
        allowed = {Verdict.REPORTED, Verdict.HARMLESS} | ({Verdict.EARLIER} if name.endswith("-wal") else set())
        self.misled += verdict not in allowed
        return [] if verdict in allowed else [f"who reads it is misled: {verdict}"]

    def _problems(self, session: str) -> list[str]:
        problems = []
        for command in COMMANDS:
            arguments = [session if part == "VICTIM" else part for part in command]
            problem = self._problem(command, *arguments, "--store", str(self.lab.store))
            problems += [f"{' '.join(command)}: {problem}"] if problem else []
        return problems

    def _problem(self, command: tuple[str, ...], *arguments: str) -> str:
        try:
            answer = ask(*arguments, *(["--project", str(self.lab.root)] if command[0] == "list" else []), "--debug")
        except BaseException as error:  # whatever it is, it must not get out
            return f"{type(error).__name__} {error}"
        last = answer.err.rstrip().rpartition("\n")[2]
        self.commands += 1
        self.reported += " is damaged" in last or " read" in last
        if "internal error" in answer.err:
            return answer.err
        if command[0] == "list" and self.whole not in answer.out:
            return f"the whole session is not listed: {answer.out}"
        return "" if len(last) < 1000 else f"much said: {last}"

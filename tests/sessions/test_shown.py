"""How a runtime and a session show themselves, in a notebook, a debugger or a log."""

from pathlib import Path

import pytest

from trio_recipes import RecipesTool, open_runtime

RECIPE = """\
name: said
description: d
version: 1.0.0
context: {word: ""}
secrets: [word]
steps: [{id: say, type: bash, command: "true"}]
"""


async def test_they_are_short_at_any_time_and_tell_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("word", "open sesame")
    (tmp_path / "said.yaml").write_text(RECIPE)
    async with open_runtime(store=f"sqlite://{tmp_path}/store", project=tmp_path) as runtime:
        session = await runtime.start(tmp_path / "said.yaml", {"word": "open sesame"})
        shown = [repr(session), repr(runtime), repr(RecipesTool(runtime))]
        await session.wait()  # what it is made of refers back to it now
        shown += [repr(session), repr(runtime), repr(RecipesTool(runtime))]
    assert (shown[0], shown[3]) == (f"<Session {session.id}: running>", f"<Session {session.id}: completed>")
    assert max(len(text) for text in shown) < 200 + len(str(tmp_path))
    assert not any("sesame" in text for text in shown)

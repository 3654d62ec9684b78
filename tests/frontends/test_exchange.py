"""`export` and `import`, through real processes."""

import json
import stat
from pathlib import Path

from tests.frontends.running import invoke, write_recipe

STEPS = """\
- {id: one, type: bash, command: "echo one >> ran; echo 1", output: one}
- {id: two, type: bash, command: "echo two >> ran; test -e fine"}
"""


def test_a_session_is_taken_to_another_store_and_goes_on_there(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS)
    assert invoke("run", recipe, cwd=tmp_path).returncode == 1
    exported = invoke("export", "@last", "taken.jsonl", cwd=tmp_path)
    assert (exported.returncode, "events exported" in exported.stdout) == (0, True)
    assert stat.S_IMODE((tmp_path / "taken.jsonl").stat().st_mode) == 0o600

    there = tmp_path / "there"
    there.mkdir()
    other = ("--store", str(tmp_path / "other"))
    imported = invoke("import", tmp_path / "taken.jsonl", "--project", ".", *other, cwd=there)
    assert imported.returncode == 0, imported.stderr
    (there / "fine").touch()
    assert invoke("resume", "@last", *other, cwd=tmp_path).returncode == 0
    assert (there / "ran").read_text() == "two\n"
    shown = json.loads(invoke("show", "@last", "--json", *other, cwd=tmp_path).stdout)
    assert (shown["status"], shown["context"]["one"]) == ("completed", 1)


def test_what_can_not_be_done_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, STEPS)
    invoke("run", recipe, cwd=tmp_path)
    for arguments, told in [
        (("export", "nosuch", "x.jsonl"), "no session 'nosuch'"),
        (("export", "@last", "no/such/folder/x.jsonl"), "can't be written"),
        (("import", "missing.jsonl"), "can't be read"),
        (("import", "probe.yaml"), "line 1: this is not JSON"),
    ]:
        refused = invoke(*arguments, cwd=tmp_path)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert not list(tmp_path.glob("*.jsonl*"))


def test_to_standard_output(tmp_path: Path) -> None:
    invoke("run", write_recipe(tmp_path, STEPS), cwd=tmp_path)
    text = invoke("export", "@last", "-", cwd=tmp_path)
    assert "trio_recipes_archive" in text.stdout.splitlines()[0]
    assert json.loads(text.stdout.splitlines()[-1])["damage"] is None
    assert "events exported" in text.stderr

"""What newcomers do by mistake, and where they do it: each is told whose fault it is and what to do next."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.frontends.running import PROGRAM, QUICK, environment, invoke, write_recipe
from trio_recipes.frontends.cli.main import main
from trio_recipes.store.base import open_store

USES = """
- id: use
  type: bash
  command: echo {{max_files}} {{free}}
"""


@pytest.fixture
def session_id(tmp_path: Path) -> str:
    """A session that completed."""
    assert invoke("run", write_recipe(tmp_path, QUICK), cwd=tmp_path).returncode == 0
    return next(iter(open_store().layout.ids()))


def printing_to(device: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command whose standard output is that file."""
    with Path(device).open("wb") as out:
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment(),
            check=False,
        )


# --- options that make no sense ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "r.yaml", "--grace", "-1"], "--grace: takes a number of seconds, 0 or more; found '-1'"),
        (
            ["run", "r.yaml", "--stop-timeout", "nan"],
            "--stop-timeout: takes a number of seconds, 0 or more; found 'nan'",
        ),
        (["run", "r.yaml", "--max-cost", "0"], "--max-cost: takes an amount of US dollars, above 0; found '0'"),
        (["run", "r.yaml", "--max-tokens", "1.5"], "--max-tokens: takes a whole number, above 0; found '1.5'"),
        (["clean", "--older-than", "-1"], "--older-than: takes a number of days, 0 or more; found '-1'"),
        (["clean", "--older-than", "soon"], "--older-than: takes a number of days, 0 or more; found 'soon'"),
    ],
)
def test_numbers_out_of_range(arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert says in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a b", "a-b", "a.b"])
def test_a_name_that_no_variable_can_have(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(write_recipe(tmp_path, QUICK)), "--set", f"{name}=1"]) == 2
    assert f"--set {name!r}: names of variables have letters, digits and '_' only" in capfd.readouterr().err


def test_a_name_that_the_engine_has(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(write_recipe(tmp_path, QUICK)), "--set", "session=1"]) == 2
    assert "--set session: is a variable of the engine; choose another name" in capfd.readouterr().err


def test_variables_that_a_recipe_does_not_use_are_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, USES, head="context: {max_files: 3}")
    settings = [part for name in ("free=1", "max_file=2") for part in ("--set", name)]
    done = invoke("run", recipe, *settings, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "--set max_file: the recipe does not use it; did you mean 'max_files'?\n"


def test_so_are_those_of_a_resume(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: never, type: bash, command: exit 1}\n")
    assert invoke("run", recipe, cwd=tmp_path).returncode == 1
    resumed = invoke("resume", "@last", "--set", "other=1", cwd=tmp_path)
    assert "--set other: the recipe does not use it\n" in resumed.stderr


@pytest.mark.parametrize("text", [b"\xff\xfea\0", b"\xfe\xff\0a"], ids=["little", "big"])
def test_utf_16_is_called_by_its_name(text: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (recipe := tmp_path / "wide.yaml").write_bytes(text)
    assert main(["validate", str(recipe)]) == 2
    assert "is UTF-16 text; save it as UTF-8" in capfd.readouterr().out


def test_a_context_that_is_not_there_or_no_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, binary = write_recipe(tmp_path, QUICK), tmp_path / "binary"
    binary.write_bytes(b"\xff\xff")
    faults = {tmp_path / "gone": "can't be read: No such file or directory", binary: "is not UTF-8 text"}
    for file, says in faults.items():
        assert main(["run", str(recipe), "--context", str(file)]) == 2
        assert capfd.readouterr().err == f"trio-recipes: --context {file}: {says}\n"


@pytest.mark.parametrize("command", [["run", "r"], ["import", "f"], ["agents"], ["mcp"]])
def test_a_project_that_is_no_folder(command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "file").touch()
    assert main([*command, "--project", str(file)]) == 2
    assert capfd.readouterr().err == f"trio-recipes: --project {file}: there is no such folder\n"


def test_an_import_does_not_read_a_device_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "/dev/zero"]) == 2
    assert "/dev/zero: line 1: this is no session that trio-recipes exported" in capfd.readouterr().err


# --- help --------------------------------------------------------------------------------------------------------


def test_help_is_no_command_and_helps(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "commands:" in capfd.readouterr().out
    assert main(["help", "cancel"]) == 0
    assert "usage: trio-recipes cancel" in capfd.readouterr().out


def test_help_is_as_wide_as_columns_says() -> None:
    narrow, wide = (invoke("run", "--help", COLUMNS=columns).stdout.splitlines() for columns in ("40", "150"))
    assert max(map(len, narrow)) < 60  # an option and its choices stay in one line
    assert 120 < max(map(len, wide)) <= 150


# --- where things are written to ---------------------------------------------------------------------------------


def test_what_could_not_be_printed_is_no_success(session_id: str, tmp_path: Path) -> None:
    for command in (["list"], ["show", session_id, "--json"], ["export", session_id, "-"]):
        done = printing_to("/dev/full", *command, cwd=tmp_path)
        assert done.returncode in (1, 2), command
        assert "No space left on device" in done.stderr
        assert "internal error" not in done.stderr


def test_what_was_done_was_done_though_nobody_could_be_told(tmp_path: Path) -> None:
    done = printing_to("/dev/full", "run", write_recipe(tmp_path, QUICK), cwd=tmp_path)
    assert done.returncode == 0
    assert "standard output can't be written: No space left on device; not all was printed" in done.stderr


def test_an_export_takes_no_devices_place(session_id: str, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True) as reader:
        assert main(["export", session_id, str(fifo)]) == 0
        out, _ = reader.communicate(timeout=20)
    assert json.loads(out.splitlines()[0])["session_id"] == session_id
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


def test_an_export_leaves_a_link_where_it_is(session_id: str, tmp_path: Path) -> None:
    (link := tmp_path / "link").symlink_to("there")
    assert main(["export", session_id, str(link)]) == 0
    assert link.is_symlink()
    assert session_id in (tmp_path / "there").read_text()


def test_an_export_into_a_folder_is_refused(
    session_id: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".", str(tmp_path)):
        assert main(["export", session_id, folder]) == 2
        assert f"{folder}: can't be written: Is a directory; name another file" in capfd.readouterr().err


def test_what_no_export_wrote_is_told_with_its_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(tmp_path, QUICK)
    assert main(["import", str(recipe)]) == 2
    said = capfd.readouterr().err
    assert f"{recipe}: line 1: " in said
    assert "`trio-recipes export` writes such files" in said


# --- odd surroundings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["list"], ["run", "r.yaml"], ["validate", "r.yaml"], ["approvals"], ["mcp"]])
def test_a_folder_that_is_gone(arguments: list[str], tmp_path: Path) -> None:
    (gone := tmp_path / "gone").mkdir()
    script = f'rmdir {gone}; exec "$@"'
    command = ["/bin/sh", "-c", script, "sh", *PROGRAM, *arguments]
    done = subprocess.run(
        command, cwd=gone, env=environment(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "the current folder is gone" in done.stderr


def test_a_locale_that_lacks_a_letter_is_named(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "- {id: say, type: bash, command: echo Größe}\n")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = invoke("run", recipe, cwd=tmp_path, **plain)
    assert done.returncode == 1
    assert "its locale is ascii; set PYTHONUTF8=1" in done.stdout
    assert "Größe\n" in invoke("run", recipe, cwd=tmp_path, LC_ALL="C").stdout


READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit 77
exec "$@"
"""


def reading_only(store: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command for which nothing of the store can be written: root needs a mount of its own for that."""
    command = [*PROGRAM, *arguments]
    if os.getuid() == 0:
        command = ["unshare", "--mount", "/bin/sh", "-c", READ_ONLY, str(store), *command]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    return done


def test_a_store_that_can_only_be_read(session_id: str, tmp_path: Path) -> None:
    root = open_store().layout.root
    folders = [path for path in (root, *root.rglob("*")) if path.is_dir()]
    try:
        for folder in folders:
            folder.chmod(0o500)  # for who is not root
        for look in (["list"], ["show", session_id], ["watch", session_id]):
            assert reading_only(root, *look, cwd=tmp_path).returncode == 0, look
        for act in (["run", "probe.yaml"], ["clean", "--older-than", "0"]):
            refused = reading_only(root, *act, cwd=tmp_path)
            assert refused.returncode == 2, refused.stderr
            assert str(root) in refused.stderr
            assert "deleted" not in refused.stdout
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert [*open_store().layout.ids()] == [session_id]

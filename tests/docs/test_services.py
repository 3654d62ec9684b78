"""The unit file and the manifest of docs/how-to: what is in them is known to those who read them, and adds up."""

from __future__ import annotations

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from trio_recipes.frontends.cli.commands import resume, run
from trio_recipes.frontends.cli.exits import CANCELLED, FAILED, PAUSED, REFUSED
from trio_recipes.processes.command import DEFAULT_GRACE
from trio_recipes.steps.apart import STOP_TIMEOUT

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
UNIT, MANIFEST = HOW_TO / "recipe@.service", HOW_TO / "kubernetes-job.yaml"


def unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text().replace("\\\n", " "))
    return parser


def manifest() -> list[dict[str, Any]]:
    found = list(yaml.safe_load_all(MANIFEST.read_text()))
    assert [each["kind"] for each in found] == ["Job", "PersistentVolumeClaim"]
    return found


def job() -> dict[str, Any]:
    spec: dict[str, Any] = manifest()[0]["spec"]
    return spec


def grace_in(script: str) -> float:
    """The grace period that both commands of a start script name, each with options that there are."""
    from argparse import ArgumentParser  # noqa: PLC0415

    graces = set()
    for command, module in (("run", run), ("resume", resume)):
        line = script.split(f"exec trio-recipes {command} ")[1].split(";", maxsplit=1)[0].split("\n", maxsplit=1)[0]
        parser = ArgumentParser()
        module.add_options(parser)
        graces.add(parser.parse_args(line.split()).grace)
    (grace,) = graces
    return float(grace)


def test_the_unit_file() -> None:
    service = unit()["Service"]
    assert (service["KillMode"], service["Type"]) == ("mixed", "exec")
    assert {*map(int, service["SuccessExitStatus"].split())} == {PAUSED, CANCELLED, 143}
    assert service["ExecStart"].count("exec trio-recipes") == 2, "the shell is in nobody's way"
    longest = grace_in(service["ExecStart"]) + DEFAULT_GRACE + STOP_TIMEOUT
    assert float(service["TimeoutStopSec"]) > longest
    limits = unit()["Unit"]
    starts_take = float(service["RestartSec"]) * int(limits["StartLimitBurst"])
    assert starts_take < float(limits["StartLimitIntervalSec"]), "a limit that restarts never reach is none"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_unit_file(tmp_path: Path) -> None:
    """A copy, since it wants programs and users that exist; what it finds odd, it prints."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("User=recipes", "User=root"))
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False, timeout=20
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_manifest() -> None:
    spec = job()
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (script,) = container["args"]
    longest = grace_in(script) + DEFAULT_GRACE + STOP_TIMEOUT
    assert pod["terminationGracePeriodSeconds"] > longest
    (ended, _) = spec["podFailurePolicy"]["rules"]
    assert set(ended["onExitCodes"]["values"]) == {FAILED, REFUSED, PAUSED, CANCELLED}
    assert ended["onExitCodes"]["containerName"] == container["name"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_schemas_of_kubernetes_accept_the_manifest() -> None:
    """All of 1.29 and later, unknown fields refused. They take 100 MB, so `nox -s manifest` is what brings them."""
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: nox -s manifest")
    versions = {version for version in schemas.utils.all_versions() if tuple(map(int, version.split("."))) >= (1, 29)}
    assert versions
    for version in versions:
        for document in manifest():
            schemas.validate(document, version, strict=True)
        misspelt = manifest()[0] | {"specs": {}}
        with pytest.raises(schemas.ValidationError):
            schemas.validate(misspelt, version, strict=True)


@pytest.mark.parametrize("script", ["unit", "manifest"])
def test_the_start_script_begins_then_goes_on(tmp_path: Path, script: str) -> None:
    """Run as it stands there, with the names of files and program replaced: twice, the first time killed."""
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from tests.frontends.running import environment, eventually  # noqa: PLC0415

    text = (
        unit()["Service"]["ExecStart"].split("'")[1].replace("$$", "$")
        if script == "unit"
        else job()["template"]["spec"]["containers"][0]["args"][0].replace("/recipes/review.yaml", "review.yaml")
    )
    (tmp_path / "review.yaml").write_text(
        "name: review\ndescription: d\nversion: 1.0.0\nsteps:\n"
        "- {id: a, type: bash, command: 'echo a >> ran'}\n"
        "- {id: b, type: bash, command: 'echo b >> ran; test -e begun || { touch begun; sleep 60; }'}\n"
    )
    program = tmp_path / "bin" / "trio-recipes"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trio_recipes "$@"\n')
    program.chmod(0o755)
    env = environment(PATH=f"{program.parent}:{os.environ['PATH']}", TRIO_RECIPES_STORE=str(tmp_path / "store"))
    command = ["/bin/sh", "-c", text, "review"]
    first = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    eventually((tmp_path / "begun").exists)
    first.kill()
    first.wait()
    eventually(lambda: subprocess.run(["pgrep", "-f", f"{tmp_path}/none"], check=False).returncode)
    assert subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False, timeout=30).returncode == 0
    assert (tmp_path / "ran").read_text().split() == ["a", "b", "b"]

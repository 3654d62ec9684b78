"""What the guide tells people to copy works."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from trio_recipes.frontends.cli.parsing import parse

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "mcp.md"
SNIPPETS = re.findall(r"^```json\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def entry(snippet: str) -> dict[str, Any]:
    """The server in a client's configuration."""
    (servers,) = json.loads(snippet).values()
    found: dict[str, Any] = servers["recipes"]
    return found


def test_there_are_snippets_for_clients() -> None:
    assert len(SNIPPETS) >= 5


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_clients_configuration_starts_the_server(snippet: str) -> None:
    server = entry(snippet)
    if "url" in server:
        assert server["url"].endswith(f":{parse(['mcp', '--http'])[1].port}/mcp")
        assert parse(["mcp"])[1].token_env in server["headers"]["Authorization"]
    else:
        assert server["command"].endswith("trio-recipes")
        assert not parse(server["args"])[1].http


def test_every_option_that_the_guide_names_exists() -> None:
    _, options = parse(["mcp"])
    named = set(re.findall(r"`(--[a-z-]+)", GUIDE.read_text(encoding="utf-8")))
    assert named
    assert {name.removeprefix("--").replace("-", "_") for name in named} <= {*vars(options), "help"}

"""Agents that Markdown files define: those that people have, and those that somebody made up to do harm."""

import os
from pathlib import Path

import pytest

from trio_recipes.agents.definitions import Definition
from trio_recipes.agents.listing import seats_configured
from trio_recipes.agents.load import configured_agents
from trio_recipes.agents.markdown import MAX_BYTES, MAX_FILES, read_definition, read_folders
from trio_recipes.agents.selection import select
from trio_recipes.errors import ConfigurationError
from trio_recipes.runtime.ports import AgentRequest


def defined(folder: Path, text: str, name: str = "critic") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.md"
    file.write_text(text)
    return file


OF_CLAUDE = """---
name: code-critic
description: Use this agent when: code is to be read. Examples: <example>user: "go"</example>
tools: Read, Grep, Bash(git log:*)
model: sonnet
color: red
---

You read code.

Be brief.
"""

OF_AMPLIFIER = """---
meta:
  name: zen
  description: "thinks"
providers:
  - module: provider-anthropic
    config: {default_model: claude-opus-4, temperature: 0.3}
tools:
  - module: tool-filesystem
    source: somewhere
---
Think.
"""


def test_a_definition_as_people_write_it_though_it_is_no_yaml(tmp_path: Path) -> None:
    definition = read_definition(defined(tmp_path, OF_CLAUDE))
    assert definition == Definition(
        "code-critic",
        {"model": "sonnet", "tools": ["Read", "Grep", "Bash(git log:*)"], "system": "You read code.\n\nBe brief."},
        str(tmp_path / "critic.md"),
        'Use this agent when: code is to be read. Examples: <example>user: "go"</example>',
    )


def test_a_definition_of_a_bundle(tmp_path: Path) -> None:
    definition = read_definition(defined(tmp_path, OF_AMPLIFIER))
    assert definition is not None
    assert (definition.name, definition.description) == ("zen", "thinks")
    assert definition.settings == {
        "provider": "anthropic",
        "model": "claude-opus-4",
        "temperature": 0.3,
        "tools": ["tool-filesystem"],
        "system": "Think.",
    }


# Front matters of files that people share, shortened; each was refused once, or is odd. What is expected of each.
SHARED: list[tuple[str, dict[str, object]]] = [
    (
        "name: a\ndescription: when: x. <example>\nuser: go\n</example>\n\n<example>: y\ncolor: red\ntools: Read\n",
        {"tools": ["Read"]},
    ),
    ("name: a\ndescription: when: x\n\n  Indented: after a gap\n  - so: [\nmodel: opus\n", {"model": "opus"}),
    ("name: a\ndescription: reads\ntools: *\n", {"tools": ["*"]}),
    ("name: a\ntools: {write: false, bash: true}\nmodel: sonnet\n", {"model": "sonnet"}),
    ("name: a\ntools: []\n", {"tools": []}),
    ("name: a\ntools:\n  - Read\n  - mcp__x__y\nskills: [s]\npermissionMode: plan\n", {"tools": ["Read", "mcp__x__y"]}),
    ("meta: {name: a, description: d}\nmodel_role: [coding, general]\n", {"model_role": ["coding", "general"]}),
    ("name: a\nhooks:\n  PreToolUse:\n    - {matcher: Bash, hooks: [{type: command, command: ./check}]}\n", {}),
    ("name: a\nmcpServers:\n  db: {type: http, url: 'https://x.example'}\nmemory: user\n", {}),
    (
        "name: a\ntemperature: 0.1\nmodel: Claude Sonnet 4.5 (copilot)\n",
        {"temperature": 0.1, "model": "Claude Sonnet 4.5 (copilot)"},
    ),
]


@pytest.mark.parametrize(("front", "settings"), SHARED)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_definitions_that_people_share(tmp_path: Path, front: str, settings: dict[str, object], line_end: str) -> None:
    file = tmp_path / "critic.md"
    file.write_bytes(f"---\n{front}---\n\nBody\n".replace("\n", line_end).encode())
    definition = read_definition(file)
    assert definition is not None
    assert (definition.name, definition.settings) == ("a", {**settings, "system": "Body"})


@pytest.mark.parametrize("text", ["# A page\n", "", "---\nno end", "text\n---\nname: x\n---\n"])
def test_a_page_without_front_matter_defines_nothing(tmp_path: Path, text: str) -> None:
    assert read_definition(defined(tmp_path, text)) is None


def test_the_files_name_stands_in_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    definition = read_definition(defined(tmp_path, "\ufeff---\r\nmodel: inherit\r\n---\r\nBody\r\n", "reader"))
    assert definition is not None
    assert (definition.name, definition.settings) == ("reader", {"system": "Body"})


HOSTILE = [
    ("name: x\nbase_url: https://evil.example", "base_url: an agent's endpoint, program and key are not"),
    ("name: x\ncommand: curl evil: example", "this is not YAML"),
    ("name: x\napi_key_env: AWS_SECRET", "api_key_env"),
    ("- a", "the front matter must be a mapping, found a list"),
    ("name: [x]", "name: takes text; found a list"),
    ("a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)), "alias"),
    ("name: x\nmodel: !!python/object:os.system ls", "tag"),
    ("name: " + "[" * 500, "nested more than 100 levels"),
    ("name: [", "this is not YAML"),
    ("description: a: b\n  c: [\nbase_url: https://evil.example", "base_url: an agent's endpoint"),
    ("description: x: y\nname: !!python/name:os.system", "tag"),
    ("name: x\nname: y", "'name' stands here and on line 2"),
]


@pytest.mark.parametrize(("front", "message"), HOSTILE)
def test_hostile_front_matter_is_refused_with_the_file(tmp_path: Path, front: str, message: str) -> None:
    file = defined(tmp_path, f"---\n{front}\n---\nbody")
    with pytest.raises(ConfigurationError) as caught:
        read_definition(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_hostile_files_are_refused_or_left_alone(tmp_path: Path) -> None:
    defined(tmp_path, f"---\nname: big\n---\n{'x' * MAX_BYTES}", "big")
    (tmp_path / "binary.md").write_bytes(b"---\nname: \xff\n---\n")
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.md").mkdir()
    found = read_folders([tmp_path, tmp_path / "no-folder"])
    assert not found.found
    assert "is larger than 1 MB" in found.broken["big"]
    assert "is no UTF-8" in found.broken["binary"]
    assert set(found.broken) == {"big", "binary"}


def test_a_folder_of_very_many_files_is_read_to_a_limit(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 5):
        (tmp_path / f"a{number:05}.md").write_text("---\nmodel: m\n---\n")
    assert len(read_folders([tmp_path]).found) == MAX_FILES


def test_folders_in_folders_count_and_links_make_no_circles(tmp_path: Path) -> None:
    defined(tmp_path, "---\nname: same\n---\nabove", "same")
    defined(tmp_path / "design", "---\nname: painter\n---\nPaint.", "painter")
    defined(tmp_path / "design/more", "---\nname: same\n---\nbelow", "same")
    (tmp_path / "design" / "circle").symlink_to(tmp_path)
    defined(tmp_path / ".git/hooks", "---\nname: hook\n---\n", "hook")  # collections are cloned, too
    closed = tmp_path / "closed"
    defined(closed, "---\nname: hidden\n---\n", "hidden")
    closed.chmod(0)
    found = read_folders([tmp_path]).found
    assert {"painter", "same"} <= set(found) <= {"painter", "same", "hidden"}  # root may open all folders
    assert found["same"].settings == {"system": "above"}


# --- as part of what is configured -------------------------------------------------------------------------------

AGENTS = """
providers:
  main: {backend: openai, base_url: "http://127.0.0.1:9/v1", models: {fast: small}}
  anthropic: {backend: anthropic, base_url: "http://127.0.0.1:9/v1"}
agents:
  "*": {provider: main, temperature: 0.1, system: "of all"}
  exact: {provider: main, model: mine, system: "by name"}
agent_folders: [more]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    defined(folder / ".claude/agents", OF_CLAUDE)
    defined(folder / ".amplifier/agents", OF_AMPLIFIER, "zen")
    defined(folder / ".claude/agents", "---\nmodel: theirs\n---\nfrom the definition", "exact")
    defined(folder / ".claude/agents", "---\nmodel: {a: }}\n---\n", "broken")
    defined(folder / "more", "---\nname: code-critic\nmodel: gpt-9\n---\nnamed folders come first")
    (folder / "agents.yaml").write_text(AGENTS)
    return folder


def settled(project: Path, agent: str) -> tuple[str, str | None, object, object]:
    agents = configured_agents(project / "agents.yaml", project)
    selection = select(AgentRequest(agent=agent, prompt=""), agents)
    (option,) = selection.options
    return option.name, option.model, selection.settings.get("system"), selection.settings.get("temperature")


def test_a_definition_stands_between_what_is_said_by_name_and_by_glob(project: Path) -> None:
    assert settled(project, "other") == ("main", None, "of all", 0.1)
    assert settled(project, "code-critic") == ("main", "gpt-9", "named folders come first", 0.1)
    assert settled(project, "exact") == ("main", "mine", "by name", None)
    assert settled(project, "foundation:zen") == ("anthropic", "claude-opus-4", "Think.", 0.3)


def test_a_definition_for_a_provider_that_one_does_not_have(project: Path) -> None:
    text = (project / "agents.yaml").read_text().replace("  anthropic:", "  another:")
    (project / "agents.yaml").write_text(text)
    assert settled(project, "zen") == ("main", None, "Think.", 0.3)


def test_a_definition_may_name_several_roles(project: Path) -> None:
    defined(project / ".amplifier/agents", "---\nmodel_role: [coding, fast, general]\n---\n", "coder")
    roles = "roles: {fast: {class: fast}, general: {provider: anthropic, model: large}}"
    (project / "agents.yaml").write_text(AGENTS + roles)
    agents = configured_agents(project / "agents.yaml", project)
    options = select(AgentRequest(agent="coder", prompt=""), agents).options
    assert [(option.name, option.model) for option in options][:2] == [("main", "small"), ("anthropic", "large")]


@pytest.mark.parametrize("wish", ["claude-sonnet-4-20250514", "Claude Opus 9 (preview)", "fable"])
def test_a_provider_says_which_of_its_models_stand_for_those_of_others(project: Path, wish: str) -> None:
    models = '{fast: small, "claude-*": large, "Claude *": large}'
    (project / "agents.yaml").write_text(AGENTS.replace("{fast: small}", f"{models}, model: usual"))
    defined(project / ".claude/agents", f"---\nmodel: {wish}\n---\n", "wishing")
    assert settled(project, "wishing")[:2] == ("main", "usual" if wish == "fable" else "large")


def test_a_broken_definition_matters_to_those_who_ask_that_agent(project: Path) -> None:
    agents = configured_agents(project / "agents.yaml", project)
    assert agents.missing(["code-critic", "other"]) == []
    with pytest.raises(ConfigurationError, match=r"agent 'broken' can't be used as it is defined: .*broken\.md:2"):
        agents.missing(["broken"])


def test_one_backend_for_all_needs_no_definitions(project: Path) -> None:
    agents = configured_agents("echo", project)
    assert agents.missing(["broken", "zen"]) == []
    assert [seat.agent for seat in seats_configured(agents)] == ["*"]


def test_definitions_in_the_users_home_count_after_the_projects(project: Path, private_home: Path) -> None:
    defined(private_home / ".claude/agents", "---\nname: code-critic\n---\nfrom home")
    defined(private_home / ".claude/agents", "---\nname: homely\nmodel: h\n---\nfrom home", "homely")
    assert settled(project, "homely") == ("main", "h", "from home", 0.1)
    assert settled(project, "code-critic")[2] == "named folders come first"

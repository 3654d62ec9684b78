"""``env_from_context``: whatever a value is, the shell's parser never meets it (recipe-language.md section 12)."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps.leaf import Told, leaf, process_trees
from trio_recipes.language.model import BashStep
from trio_recipes.language.template import Template
from trio_recipes.masking import Mask
from trio_recipes.runtime.ports import Reply
from trio_recipes.steps.bash import BashRunner

ECHO = BashStep(id="step", command=Template.parse('printf "%s|" "$x"'), env_from_context=("x",))


async def echoed(value: Any, folder: Path) -> Reply:
    async with process_trees() as trees:
        return await BashRunner(trees)(leaf(ECHO, Told(), folder, x=value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$(touch hit)", "$(touch hit)"),
        ("`touch hit`", "`touch hit`"),
        ("'; touch hit; '", "'; touch hit; '"),
        ('"; touch hit; "', '"; touch hit; "'),
        ("a\nb\n\n", "a\nb\n\n"),
        ("() { :; }; touch hit", "() { :; }; touch hit"),
        ("* ~ $HOME \\ !x", "* ~ $HOME \\ !x"),
        ("x" * 130_000, "x" * 130_000),
        (["$(touch hit)", 1, None], '["$(touch hit)", 1, null]'),
        ({"k": "é"}, '{"k": "é"}'),
        (True, "true"),
        (None, ""),
        ("", ""),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_value_arrives_as_it_is(value: Any, text: str, tmp_path: Path) -> None:
    reply = await echoed(value, tmp_path)
    assert reply.failure is None
    assert reply.text == f"{text}|"
    assert not (tmp_path / "hit").exists()


async def test_any_text_arrives_as_it_is(tmp_path: Path) -> None:
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
    drawn: list[str] = []
    settings(max_examples=15)(given(texts)(lambda text: drawn.append(text)))()  # noqa: PLW0108  it needs a function
    for text in drawn:
        assert (await echoed(text, tmp_path)).text == f"{text}|"


async def test_a_secret_does_not_get_onto_the_command_line_by_any_variable(tmp_path: Path) -> None:
    step = BashStep(id="step", command=Template.parse("echo {{a.b}} > hit"))
    call = leaf(step, Told(), tmp_path, a={"b": "Bearer sesame"})
    call.frame.facts.vault.mask = Mask.of(["sesame"])
    async with process_trees() as trees:
        reply = await BashRunner(trees)(call)
    assert reply.failure is not None
    assert reply.failure.message.startswith("step 'step': {{a.b}} holds the value of a secret")
    assert 'env_from_context: [a] and "$a"' in reply.failure.message
    assert not reply.failure.retryable
    assert not (tmp_path / "hit").exists()

"""Masking: no secret survives it, in whatever pieces it comes, and nothing else changes."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trio_recipes.language.wording import shown
from trio_recipes.masking import MASK, SHORTEST, Mask, Screen, hide

LETTERS = st.sampled_from("abcé \n\"'\\")
SECRETS = st.lists(st.text(LETTERS, min_size=SHORTEST, max_size=12), min_size=1, max_size=4)


@st.composite
def secrets_and_text(draw: st.DrawFn) -> tuple[list[str], str]:
    """Secrets, and text with whole ones, parts of some, and others between them."""
    secrets = draw(SECRETS)
    parts = st.sampled_from(secrets).flatmap(lambda secret: st.sampled_from([secret, secret[1:], secret[:-1]]))
    return secrets, "".join(draw(st.lists(st.one_of(parts, st.text(LETTERS, max_size=5)), max_size=12)))


@given(secrets_and_text())
def test_no_secret_survives_in_a_text(drawn: tuple[list[str], str]) -> None:
    secrets, text = drawn
    masked = Mask.of(secrets).text(text)
    assert not [secret for secret in secrets if secret in masked]
    assert Mask.of(secrets).data(text.encode()).decode() == masked


@given(secrets_and_text(), st.lists(st.integers(1, 7), max_size=40))
def test_no_secret_survives_any_chunking(drawn: tuple[list[str], str], sizes: list[int]) -> None:
    secrets, text = drawn
    mask, data = Mask.of(secrets), text.encode()
    longest = max(len(form.encode()) for secret in secrets for form in (secret, json.dumps(secret), repr(secret)))
    screen, passed, masked, taken = Screen(mask), b"", b"", 0
    for size in [*sizes, len(data)]:
        piece = data[taken : taken + size]
        taken += len(piece)
        out, where = screen.feed(piece)
        passed, masked = passed + out, masked + hide(out, where)
        assert taken - len(passed) < longest, "more is held back than the beginning of a secret"
    out, where = screen.feed(b"", last=True)
    assert passed + out == data, "what goes on is what came"
    assert not [secret for secret in secrets if secret.encode() in masked + hide(out, where)]


@given(secrets_and_text())
def test_text_without_secrets_stays_as_it_is(drawn: tuple[list[str], str]) -> None:
    secrets, text = drawn
    mask = Mask.of(secrets)
    assume(mask.spans(text.encode()) == ())
    assert mask.text(text) == text


@given(st.text(st.sampled_from("ab"), min_size=100, max_size=200), st.integers(0, 30))
def test_what_a_message_leaves_of_a_secret_is_hidden_too(secret: str, before: int) -> None:
    value = "x" * before + secret
    for text in (shown(value), shown([value]), f"{value[:70]}…", f"…{value[-70:]}"):
        left = Mask.of([secret]).text(text).replace("x", "").split(MASK)
        assert all(len(part.strip("[]'….")) < SHORTEST for part in left), left


def test_the_forms_in_which_programs_print_a_value() -> None:
    secret = 'a"b\\c\né'
    mask = Mask.of([secret])
    for text in (secret, json.dumps({"k": secret}), json.dumps([secret], ensure_ascii=False), repr(secret)):
        assert "b" not in mask.text(text)


def test_secrets_in_structures_and_numbers() -> None:
    mask = Mask.of([{"user": "admin", "pin": 123456, "on": True, "none": None, "more": ["token-1"]}])
    assert mask.text("admin true null token-1 123456") == f"{MASK} true null {MASK} {MASK}"
    assert mask.value({"admin": [123456, 7, True, None, "x token-1"]}) == {MASK: [MASK, 7, True, None, f"x {MASK}"]}


@pytest.mark.parametrize(
    ("secrets", "text", "masked"),
    [
        (["abc"], "abc", "abc"),
        (["abcd", "abcdefgh"], "abcdefgh abcd", "*** ***"),
        (["abcd", "cdefg"], "abcdefg", "***"),
        (["abcd"], "abcdabcd", "******"),
        (["abcd\n"], "abcd", "***"),
        ([], "abcd", "abcd"),
    ],
)
def test_examples(secrets: list[str], text: str, masked: str) -> None:
    assert Mask.of(list(secrets)).text(text) == masked


def test_it_does_not_show_what_it_knows() -> None:
    mask = Mask.of(["sesame"])
    assert "sesame" not in f"{mask!r} {Screen(mask)!r} {mask}"


def test_a_stream_is_passed_on_at_once_where_nothing_may_be_a_secret() -> None:
    screen = Screen(Mask.of(["sesame"]))
    assert screen.feed(b"open ") == (b"open ", ())
    assert screen.feed(b"ses") == (b"", ())
    assert screen.feed(b"sion ses") == (b"session ", ())
    assert screen.feed(b"ame!") == (b"sesame!", ((0, 6),))

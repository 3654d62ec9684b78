"""Sentences of recipe-language.md section 5."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.errors import ExpressionError
from trio_recipes.language.expression import MAX_DEPTH, Expression
from trio_recipes.values import Value

VARIABLES: dict[str, Value] = {
    "spaced": "not found",
    "quote": "it's",
    "five": 5,
    "minus": -3,
    "text5": "5.0",
    "zero": 0,
    "zero_float": 0.0,
    "yes": True,
    "no": False,
    "none": [],
    "nobody": {},
    "list": [1],
    "empty": "",
    "null": None,
    "big": 9007199254740993,
    "tree": {"status": "done"},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        # precedence
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not true or true", True),
        ("not (true or true)", False),
        ("not not true", True),
        ("not 1 == 2", True),
        # operands
        ("{{spaced}} == 'not found'", True),
        ('{{quote}} == "it\'s"', True),
        (r"{{quote}} == 'it\'s'", True),
        (r"'\\' == '\\'", True),
        ("{{tree.status}} == done", True),
        ("'{{tree.status}}' == 'done'", True),
        ("'{{spaced}}!' == 'not found!'", True),
        ("{{yes}} == TRUE", True),
        ("{{yes}} == 'true'", True),
        ("{{yes}} == 'True'", False),
        ("{{yes}} == 1", False),
        # numbers
        ("{{five}} == '5.0'", True),
        ("{{text5}} == 5", True),
        ("{{minus}} == -3", True),
        ("{{minus}} < -1.5e-1", True),
        ("{{five}} > 10", False),
        ("'10' > '9'", True),
        ("10 > 9a", False),
        ("' 7 ' == 7", True),
        ("1e3 == 1000", True),
        ("+5 == 5", True),
        ("{{big}} == 9007199254740992", False),
        ("'abc' < 'abd'", True),
        ("a != b", True),
        ("2 >= 2 and 2 <= 2", True),
        ("{{list}} == '[1]'", True),
        # a value alone
        ("", True),
        ("  \n", True),
        ("true", True),
        ("FALSE", False),
        ("'FALSE'", True),
        ("false", False),
        ("False", False),
        ("''", False),
        ("0", False),
        ("none", False),
        ("None", False),
        ("null", True),
        ("no", True),
        ("0.0", True),
        ("{{zero}}", False),
        ("{{zero_float}}", True),
        ("{{no}}", False),
        ("{{empty}}", False),
        ("{{none}}", False),
        ("{{nobody}}", False),
        ("{{list}}", True),
        ("({{five}}) == true", True),
        ("(1 == 1) == (2 == 2)", True),
    ],
)
def test_meaning(text: str, holds: bool) -> None:
    assert Expression.parse(text).test(VARIABLES) is holds


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("{{five}} = 5", 10, "write '=='"),
        ("a && b", 3, "write 'and'"),
        ("a || b", 3, "write 'or'"),
        ("!a", 1, "write 'not'"),
        ("{{ five }}", 1, "without spaces"),
        ("'abc", 1, "never closed"),
        ("a AND b", 3, "lower case"),
        ("a b", 3, "expected 'and' or 'or'"),
        ("(a", 3, "expected ')'"),
        ("a)", 2, "')'"),
        ("not", 4, "the end"),
        ("a == and", 6, "found 'and'"),
        ("1 == 1 == 1", 8, "'=='"),
        ("5 - 3", 3, "unexpected '-'"),
        ("[1]", 1, "unexpected '['"),
        ("\x1b", 1, r"\x1b"),
    ],
)
def test_errors_have_a_column_and_a_hint(text: str, column: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse(text)
    assert caught.value.column == column
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{nowhere}}", "there is no variable 'nowhere'"),
        ("true or {{nowhere}}", "there is no variable 'nowhere'"),
        ("{{null}} == None", "'null' is null"),
        ("{{tree.state}}", "did you mean 'status'"),
        ("{{five.x}}", "'five' is a whole number"),
        ("'{{nowhere}}' == 'x'", "there are: "),
    ],
)
def test_undefined_and_null_variables_are_errors_even_where_they_would_not_matter(text: str, words: str) -> None:
    expression = Expression.parse(text)
    with pytest.raises(ExpressionError) as caught:
        expression.test(VARIABLES)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", ["x' or 'a' == 'a", "and", "(", "' or true or '", "not"])
def test_what_a_variable_contains_never_changes_the_meaning(value: str) -> None:
    assert Expression.parse("{{v}} == 'other'").test({"v": value}) is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(" * 5000 + "a", "parentheses"),
        ("a or " * 20_000 + "a", "at most 10,000 characters"),
    ],
)
def test_limits(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        Expression.parse(text)


@pytest.mark.parametrize(
    "text", ["(" * MAX_DEPTH + "true" + ")" * MAX_DEPTH, "not " * 2000 + "true", "true and " * 1000 + "true"]
)
def test_long_conditions_work(text: str) -> None:
    assert Expression.parse(text).test({})


# --- against a reference evaluator, built together with the text -------------------------------------------------

words = st.sampled_from(["'a b'", '"it\'s"', "5", "-5", "0", "'0'", "''", "none", "done", "true", "{{x}}", "{{n}}"])
MEANING = {
    "'a b'": "a b",
    '"it\'s"': "it's",
    "5": "5",
    "-5": "-5",
    "0": "0",
    "'0'": "0",
    "''": "",
    "none": "none",
    "done": "done",
    "true": "true",
    "{{x}}": "a b",
    "{{n}}": "5",
}


def _compare(left: str, operator: str, right: str) -> bool:
    try:
        order = float(left) - float(right)
    except ValueError:
        order = (left > right) - (left < right)
    return {"==": order == 0, "!=": order != 0, "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[
        operator
    ]


alone = words.map(lambda word: (word, MEANING[word] not in ("", "0", "none")))
compared = st.tuples(words, st.sampled_from(["==", "!=", "<", ">", "<=", ">="]), words).map(
    lambda parts: (" ".join(parts), _compare(MEANING[parts[0]], parts[1], MEANING[parts[2]]))
)
trees = st.recursive(
    alone | compared,
    lambda inner: st.one_of(
        inner.map(lambda pair: (f"not ({pair[0]})", not pair[1])),
        st.lists(inner, min_size=2, max_size=4).map(
            lambda pairs: (" or ".join(f"({text})" for text, _ in pairs), any(holds for _, holds in pairs))
        ),
        st.lists(inner, min_size=2, max_size=4).map(
            lambda pairs: (" and ".join(f"({text})" for text, _ in pairs), all(holds for _, holds in pairs))
        ),
    ),
    max_leaves=8,
)


@given(trees)
def test_agrees_with_a_reference_evaluator(pair: tuple[str, bool]) -> None:
    text, holds = pair
    assert Expression.parse(text).test({"x": "a b", "n": 5}) is holds


@given(st.text(alphabet="ab '\"\\()=!<>{}0.-+ntorfalse&"))
def test_any_text_parses_or_is_an_expression_error(text: str) -> None:
    with suppress(ExpressionError):
        Expression.parse(text)

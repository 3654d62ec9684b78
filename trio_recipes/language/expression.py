"""Conditions: ``{{status}} == 'done' and not ({{count}} > 3)`` (recipe-language.md section 5).

A condition is parsed once, at load, into a closure over *operands*; variables enter as values, never as text, so
that what they contain can't change the meaning. Every reference is looked up before anything is compared: an
undefined variable is an error even where the result would not depend on it.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from attrs import field

from trio_recipes.classes import frozen
from trio_recipes.errors import ExpressionError, TemplateError
from trio_recipes.language.template import REFERENCE, Template, as_text, look_up
from trio_recipes.language.wording import listed, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_recipes.values import Value, Variables

    Test = Callable[[Variables], bool]
    Operand = Callable[[Variables], Value]

MAX_DEPTH = 100
"""Parentheses inside of parentheses."""

MAX_LENGTH = 10_000
"""Characters of a condition."""

FALSE = frozenset({"false", "False", "", "0", "none", "None"})
"""Texts that are false when they stand alone; all others are true."""

_TOKEN = re.compile(
    r"""(?P<reference>\{\{\w+(?:\.\w+)*\}\})
      | (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<compare>==|!=|<=|>=|<|>)
      | (?P<parenthesis>[()])
      | (?P<word>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])|[\w.]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(['\"\\])")

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}

_KEYWORDS = frozenset({"and", "or", "not"})

_HINTS = {
    "'": "this quote is never closed",
    '"': "this quote is never closed",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or '!=' between two values",
    "=": "write '==' to compare",
    "{": "a variable is written {{name}}, without spaces inside the braces",
}


@frozen
class Expression:
    """A parsed condition. Make one with :meth:`parse`.

    Args:
        source: the condition as it was written.
        references: the dotted names it refers to, in order, repetitions included.
    """

    source: str
    references: tuple[str, ...] = ()
    _test: Test = field(default=lambda _: True, repr=False, eq=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse a condition; an empty one is true.

        Raises:
            ExpressionError: with the column of what can't be understood.
        """
        tokens = _tokens(text)
        if not tokens:
            return cls(text)
        test = _Parser(tokens, len(text)).parse()
        return cls(text, tuple(REFERENCE.findall(text)), test)

    def test(self, variables: Variables) -> bool:
        """Whether the condition holds.

        Raises:
            ExpressionError: if a variable it refers to is undefined or null.
        """
        for reference in self.references:
            _require(reference, variables)
        return self._test(variables)


def _require(reference: str, variables: Variables) -> None:
    try:
        value = look_up(reference, variables)
    except TemplateError as error:
        raise ExpressionError(str(error)) from error
    if value is None:
        there = listed(name for name, value in variables.items() if value is not None)
        raise ExpressionError(f"the variable {reference!r} is null (there are: {there})")


# --- tokens ------------------------------------------------------------------------------------------------------


@frozen
class _Token:
    kind: str
    text: str
    column: int


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"a condition has at most {MAX_LENGTH:,} characters; this one has {len(text):,}")
    tokens: list[_Token] = []
    position = _skip(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            character = text[position]
            hint = _HINTS.get(character, "put text in quotes")
            raise ExpressionError(f"unexpected {shown(character)}; {hint}", position + 1)
        tokens.append(_Token(str(match.lastgroup), match.group(), position + 1))
        position = _skip(text, match.end())
    return tokens


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


# --- grammar: or < and < not < comparison < parentheses ----------------------------------------------------------


class _Parser:
    """Recursive descent; only parentheses recurse, and :data:`MAX_DEPTH` bounds them."""

    def __init__(self, tokens: list[_Token], length: int) -> None:
        self._tokens = tokens
        self._position = 0
        self._end = _Token("end", "", length + 1)
        self._depth = 0

    def parse(self) -> Test:
        test = self._either()
        if self._next is not self._end:
            raise self._unexpected("'and' or 'or'")
        return test

    @property
    def _next(self) -> _Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else self._end

    def _take(self) -> _Token:
        token = self._next
        self._position += 1
        return token

    def _accept(self, kind: str, text: str) -> bool:
        found = self._next.kind == kind and self._next.text == text
        self._position += found
        return found

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._next
        found = shown(token.text) if token is not self._end else "the end"
        hint = ""
        if token.kind == "word" and token.text.lower() in _KEYWORDS and token.text not in _KEYWORDS:
            hint = f"; '{token.text.lower()}' is written in lower case"
        return ExpressionError(f"expected {wanted} and found {found}{hint}", token.column)

    def _either(self) -> Test:
        tests = [self._both()]
        while self._accept("word", "or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda variables: any(test(variables) for test in tests)

    def _both(self) -> Test:
        tests = [self._negation()]
        while self._accept("word", "and"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else lambda variables: all(test(variables) for test in tests)

    def _negation(self) -> Test:
        negative = False
        while self._accept("word", "not"):
            negative = not negative
        test = self._comparison()
        return (lambda variables: not test(variables)) if negative else test

    def _comparison(self) -> Test:
        left = self._operand()
        if self._next.kind != "compare":
            return lambda variables: _is_true(left(variables))
        compare = _COMPARE[self._take().text]
        right = self._operand()
        return lambda variables: _compare(compare, as_text(left(variables)), as_text(right(variables)))

    def _operand(self) -> Operand:
        token = self._next
        if token.kind == "reference":
            self._take()
            return Template.parse(token.text).value
        if token.kind == "quoted":
            self._take()
            return Template.parse(_ESCAPE.sub(r"\1", token.text[1:-1])).render
        if token.kind == "word" and token.text not in _KEYWORDS:
            self._take()
            return _constant(token.text)
        if self._accept("parenthesis", "("):
            return self._group()
        raise self._unexpected("a value: {{variable}}, 'text', a number or '('")

    def _group(self) -> Operand:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"more than {MAX_DEPTH} parentheses inside of each other", self._next.column)
        test = self._either()
        if not self._accept("parenthesis", ")"):
            raise self._unexpected("')'")
        self._depth -= 1
        return test


# --- meaning -----------------------------------------------------------------------------------------------------


def _is_true(value: Value) -> bool:
    return bool(value) if isinstance(value, (list, dict)) else as_text(value) not in FALSE


def _constant(word: str) -> Operand:
    text = word.lower() if word.lower() in ("true", "false") else word
    return lambda _: text


def _compare(compare: Callable[[Any, Any], bool], left: str, right: str) -> bool:
    left_number, right_number = _number(left), _number(right)
    if left_number is None or right_number is None:
        return compare(left, right)
    return compare(left_number, right_number)


def _number(text: str) -> int | float | None:
    """What ``text`` reads as; whole numbers exactly, so that long ids differ in their last digit, too."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None

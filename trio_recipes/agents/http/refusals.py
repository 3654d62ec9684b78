"""What an endpoint's refusal means: one table, from its status or error code to whose fault it is and what may help."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import evolve

from trio_recipes.agents.http.endpoint import Endpoint, no_key
from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError

Fields: TypeAlias = Mapping[str, Any]

MAX_COMPLAINT = 500
"""Characters of an endpoint's own words in a message."""


@frozen
class Refusal:
    """A reason not to answer.

    Args:
        what: for people; follows the endpoint's address.
        hint: what may help; ``{key}`` is where the key comes from.
        retryable: whether asking again can help.
        rate_limited: whether pacing slows down.
    """

    what: str
    hint: str = ""
    retryable: bool = False
    rate_limited: bool = False


_BAD: Final = Refusal("refused the request", "See what it says about it")
_KEY: Final = Refusal("refused the key", "Check the key in {key}")
_RIGHTS: Final = Refusal("does not let this key do that", "Check what the key and the account may use")
_MONEY: Final = Refusal("wants to be paid first", "Check the account's credit and quota")
_UNKNOWN: Final = Refusal("knows no such model or address", "Check `model` and `base_url`")
_LONG: Final = Refusal("can't take a prompt this long", "Shorten the prompt, or name a model with a larger context")
_FILTER: Final = Refusal("refused to answer: its content filter objects", "Reword the prompt")
_BUSY: Final = Refusal("is asked too often", "Lower `max_concurrent_llm`", retryable=True, rate_limited=True)
_FULL: Final = Refusal("is overloaded", "Lower `max_concurrent_llm`, or wait", retryable=True, rate_limited=True)
_SLOW: Final = Refusal("gave up waiting", "Try again", retryable=True)
_BROKEN: Final = Refusal("failed to answer", "The fault is on its side; try again later", retryable=True)
_MOVED: Final = Refusal("answers at another address", "Set `base_url` to that one")

_ODD: Final = Refusal("answers with something else than was asked for", "Check `base_url`")
_UNSIGNED: Final = Refusal("wants a key, and none was sent", "Name its environment variable in `api_key_env`")

BY_STATUS: Final[Mapping[int, Refusal]] = {
    400: _BAD,
    401: _KEY,
    402: _MONEY,
    403: _RIGHTS,
    404: _UNKNOWN,
    405: _UNKNOWN,
    408: _SLOW,
    409: _SLOW,
    413: _LONG,
    422: _BAD,
    425: _SLOW,
    429: _BUSY,
    500: _BROKEN,
    502: _BROKEN,
    503: _FULL,
    504: _SLOW,
    529: _FULL,
}
"""By HTTP status; other 3xx, 4xx and 5xx as :func:`_by_class` says."""

BY_CODE: Final[Mapping[str, Refusal]] = {
    "api_error": _BROKEN,
    "authentication_error": _KEY,
    "billing_error": _MONEY,
    "conflict_error": _SLOW,
    "content_filter": _FILTER,
    "content_policy_violation": _FILTER,
    "context_length_exceeded": _LONG,
    "exceed_context_size_error": _LONG,
    "insufficient_quota": _MONEY,
    "invalid_api_key": _KEY,
    "model_not_found": _UNKNOWN,
    "not_found_error": _UNKNOWN,
    "overloaded_error": _FULL,
    "permission_error": _RIGHTS,
    "rate_limit_error": _BUSY,
    "rate_limit_exceeded": _BUSY,
    "request_too_large": _LONG,
    "server_error": _BROKEN,
    "timeout_error": _SLOW,
}
"""By ``code`` or ``type`` of the error that the body tells of: more telling than the status, and all there is when a
stream that had begun breaks off."""


def is_error(fields: Fields) -> bool:
    """Whether a body, or an event in a stream, calls itself an error; the second way was vLLM's until 2025."""
    return bool(fields.get("error")) or fields.get("object") == "error"


_SAYS_TOO_LONG: Final = re.compile(
    r"context (?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens", re.IGNORECASE
)
"""Servers that have no code for it say it in words."""


@frozen
class Complaint:
    """What the body of a refusal says.

    Args:
        codes: its ``code`` and ``type``, as far as it has them.
        message: in the endpoint's own words.
        field: the field of the request that it objects to, or "".
        is_error: whether the body calls itself an error.
    """

    codes: tuple[str, ...] = ()
    message: str = ""
    field: str = ""
    is_error: bool = False

    @classmethod
    def read(cls, body: bytes) -> Complaint:
        """From a body: the forms of OpenAI, Anthropic and those that follow them, or plain text. Never raises."""
        text = body.decode("utf-8", "replace")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return cls(message="" if text.lstrip().startswith("<") else text)
        return cls.of(document)

    @classmethod
    def of(cls, document: Any) -> Complaint:
        """From a body's JSON, or from an event in a stream. Never raises."""
        if isinstance(document, list) and document:  # as one of the makers has it
            document = document[0]
        fields = document if isinstance(document, dict) else {}
        error = fields.get("error") or document
        if not isinstance(error, dict):
            return cls(message=str(error or ""), is_error=is_error(fields))
        codes = tuple(str(error[name]) for name in ("code", "type") if error.get(name) is not None)
        message = error.get("message") or error.get("detail") or ""
        words = message if isinstance(message, str) else json.dumps(message)
        return cls(codes, words, str(error.get("param") or ""), is_error(fields))

    def masked(self, mask: Callable[[str], str]) -> Complaint:
        """The same, its words without what ``mask`` takes out: some endpoints repeat the key they got."""
        return evolve(self, message=mask(self.message))

    def meaning(self, status: int | None = None) -> Refusal:
        """What it comes to, with the answer's status if it had one."""
        if status in _ASKED_WRONGLY and _SAYS_TOO_LONG.search(self.message):
            return _LONG
        for code in self.codes:
            if code in BY_CODE:
                return BY_CODE[code]
            if code.isdecimal():  # some servers repeat the status in the body
                status = status or int(code)
        return _by_class(status)

    def objects_to(self, field: str) -> bool:
        """Whether the field of the request called ``field`` is what it is about."""
        return field in (self.field, self.field.partition(".")[0]) or field in self.message

    @property
    def words(self) -> str:
        """The message on one line, cut where it is long."""
        line = " ".join(self.message.split())
        return line if len(line) <= MAX_COMPLAINT else f"{line[:MAX_COMPLAINT]}…"


_ASKED_WRONGLY: Final = (None, 400, 413, 422, 500)
"""Statuses with which servers say that a prompt is too long."""


def _by_class(status: int | None) -> Refusal:
    if status is None:
        return _BROKEN
    if status in BY_STATUS:
        return BY_STATUS[status]
    return _BROKEN if status >= 500 else _BAD if status >= 400 else _MOVED if status >= 300 else _ODD


def refused(
    endpoint: Endpoint, complaint: Complaint, *, status: int | None = None, retry_after: float | None = None
) -> BackendError:
    """The error for a refusal.

    Args:
        endpoint: who refused.
        complaint: what it says; the key is masked in it.
        status: of its answer; None in mid-stream.
        retry_after: seconds it asks to wait.
    """
    refusal = complaint.meaning(status)
    if refusal is _KEY and endpoint.key is no_key:
        refusal = _UNSIGNED
    head = f"{endpoint.base_url} {refusal.what}" + (f" (HTTP {status})" if status else "")
    hint = refusal.hint.replace("{key}", endpoint.key_place)
    parts = [f"{head}: {complaint.words}" if complaint.words else head, hint]
    return BackendError(
        ". ".join(part.rstrip(".") for part in parts if part),
        rate_limited=refusal.rate_limited,
        retryable=refusal.retryable,
        retry_after=retry_after,
    )

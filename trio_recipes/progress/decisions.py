"""How gates are named, and what their decisions say: plain text, for commands that load as little as possible."""

from __future__ import annotations


def label(path: str) -> str:
    """What a gate is called at the root: its stage, or ``stage/sub-stage`` (recipe-language.md section 10)."""
    first, _, rest = path.partition("/")
    return f"{first}/{rest.rpartition('/')[2]}" if rest else first


def means(text: str, path: str) -> bool:
    """Whether people may call the gate at ``path`` so: by its stage, behind any of the names on the way to it."""
    wanted, segments = text.split("/"), path.split("/")
    if not _fits(wanted[-1], segments[-1]):
        return False
    on_the_way = iter(segments[:-1])
    return all(any(_fits(name, segment) for segment in on_the_way) for name in wanted[:-1])


def _fits(name: str, segment: str) -> bool:
    return name in (segment, segment.partition("[")[0])


def verdict(*, approved: bool) -> str:
    """The decision in one word."""
    return "approved" if approved else "denied"


def expiry(timeout: float) -> str:
    """Why a default applied."""
    return f"nobody decided within {timeout:g} s"


def denial(stage: str, by: str, via: str, message: str) -> str:
    """Why a denied session has ended."""
    return f"stage '{stage}' was {said(by, via, message, approved=False)}"


def said(by: str, via: str, message: str, *, approved: bool) -> str:
    """A decision in one phrase: ``approved by ada: looks good``."""
    reason = f": {message}" if message else ""
    return f"{verdict(approved=approved)} by {by or via or 'somebody'}{reason}"

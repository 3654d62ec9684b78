"""Where a model answers, with which key, and how long it may take."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from attrs import Factory, field

from trio_recipes.classes import frozen
from trio_recipes.errors import BackendError, ConfigurationError

Key: TypeAlias = Callable[[], "str | None"]
"""Gives a key when it is needed, or None; so that no key is ever part of an object that is shown or stored."""


@frozen
class EnvironmentKey:
    """The key that an environment variable holds at the moment of asking.

    Args:
        variable: its name.
    """

    variable: str

    def __call__(self) -> str | None:
        """The key, or None without one."""
        return os.environ.get(self.variable, "").strip() or None

    def __str__(self) -> str:
        return self.variable


AUTHORIZATION: Final = "Authorization"
"""The header that carries a bearer token."""


def no_key() -> None:
    """For endpoints that ask for none, such as a server on one's own machine."""
    return


@frozen(kw_only=True)
class Timeouts:
    """How long an endpoint may keep silent, in seconds; the step's own ``timeout`` holds besides.

    Args:
        connect: until there is a connection.
        first: from the request to the first thing that is heard; local servers load a model meanwhile.
        between: from then on, from one thing heard to the next.
    """

    connect: float = 10.0
    first: float = 300.0
    between: float = 120.0


def bare(address: str) -> str:
    """An address, which is shown in messages and records and so can hold nothing secret.

    Raises:
        ConfigurationError: it has a user, a password, a query or a fragment.
    """
    if any(part in address for part in "@?#"):
        raise ConfigurationError(
            "an address has no user, password or query in it, since addresses are shown: "
            "say `api_key_env` for a key, and `headers` or `extra` for the rest"
        )
    return address


@frozen(kw_only=True)
class Endpoint:
    """An HTTP API that answers for models.

    Args:
        base_url: what precedes ``/chat/completions`` or ``/messages``, and ``/models``.
        key: gives the key; :func:`no_key` where none is needed.
        key_header: carries the key, as a bearer token if it is ``Authorization``; None for the API's own.
        headers: sent with each request; no place for keys, since these are shown.
        timeouts: how long it may keep silent.

    Raises:
        ConfigurationError: ``base_url`` holds what could be a secret.
    """

    base_url: str = field(converter=bare)
    key: Key = no_key
    key_header: str | None = None
    headers: Mapping[str, str] = Factory(dict)
    timeouts: Timeouts = Factory(Timeouts)

    def url(self, path: str) -> str:
        """The address of a part of the API."""
        return f"{self.base_url.rstrip('/')}/{path}"

    def authorised(self) -> Mapping[str, str]:
        """The headers of a request, key included: never to be shown.

        Raises:
            BackendError: the key is missing, or no text that a header can carry.
        """
        if self.key is no_key:
            return self.headers
        key = self.key()
        if key is None:
            raise BackendError(f"{self.base_url} needs a key, and {self.key_place} holds none", retryable=False)
        if not (key.isascii() and key.isprintable()):
            raise BackendError(f"{self.key_place} holds characters that no key has", retryable=False)
        header = self.key_header or AUTHORIZATION
        return {**self.headers, header: f"Bearer {key}" if header.lower() == AUTHORIZATION.lower() else key}

    def masked(self, text: str) -> str:
        """``text`` without the key, which some endpoints repeat in what they complain about."""
        key = self.key()
        return text.replace(key, "***") if key else text

    @property
    def key_place(self) -> str:
        """Where the key comes from, for people."""
        if isinstance(self.key, EnvironmentKey):
            return f"the environment variable {self.key.variable}"
        if self.key is no_key:
            return "`api_key_env`, which is not set"
        return "what gives its key"

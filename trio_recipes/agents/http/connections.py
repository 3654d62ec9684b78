"""The HTTP connections of a runtime: made when first needed, shared by all its backends, closed with it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import trio
from attrs import field

from trio_recipes.classes import define
from trio_recipes.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    import httpx2

    from trio_recipes.runtime.ports import AgentBackend

CLOSING = 2.0
"""Seconds that closing idle connections may take; there is nothing to wait for but the kernel."""


_HERE = ("localhost", "127.0.0.1", "[::1]")
"""Never asked through a proxy: it would look for a server on its own machine, and get the key."""


def is_here(base_url: str) -> bool:
    """Whether an address is on this machine."""
    return base_url.partition("://")[2].startswith(_HERE)


@runtime_checkable
class NeedsConnections(Protocol):
    """A backend that asks over HTTP, and gets the runtime's connections to do so."""

    def connected(self, connections: Connections) -> AgentBackend:
        """The same backend, in a runtime whose connections are ``connections``."""
        ...


@define(eq=False)
class Connections:
    """One pool for all backends of a runtime, as an async context manager.

    Importing httpx2 and loading the certificates takes a quarter of a second: in a thread, at the first request.

    Attributes:
        refused: optional fields of requests that an endpoint would not have, by endpoint and model.
    """

    refused: dict[tuple[str, str], set[str]] = field(factory=dict, init=False)
    _client: httpx2.AsyncClient | None = field(default=None, init=False)
    _making: trio.Lock = field(factory=trio.Lock, init=False)

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            with trio.move_on_after(CLOSING, shield=True):
                await client.aclose()

    async def client(self) -> httpx2.AsyncClient:
        """The client.

        Raises:
            ConfigurationError: httpx2 is not installed.
        """
        async with self._making:
            if self._client is None:
                self._client = await trio.to_thread.run_sync(_new_client, abandon_on_cancel=True)
            return self._client


def _new_client() -> httpx2.AsyncClient:
    require_httpx2()
    import httpx2  # noqa: PLC0415  an extra, and slow

    # Servers close what is idle for 5 s: it must not be used at that very moment.
    # As many connections as there are answers at once: how many those may be is `max_concurrent_llm`'s to say.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0)
    try:
        return httpx2.AsyncClient(limits=limits, timeout=None, mounts={f"all://{host}": None for host in _HERE})
    except (ImportError, ValueError, OSError) as error:  # what it reads from the environment
        variables = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
        raise ConfigurationError(f"no HTTP client can be made: {error}. Check the variables {variables}") from error


def require_httpx2() -> None:
    """Check, without importing it, that httpx2 is there.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("httpx2") is None:
        raise ConfigurationError(
            "agents of the backends 'openai' and 'anthropic' need httpx2: pip install 'trio-recipes[llm]'"
        )

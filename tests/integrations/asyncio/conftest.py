"""Each test has a host and a laboratory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.lab import Lab
from tests.integrations.asyncio.loops import KINDS, Host


@pytest.fixture
def host() -> Host:
    """Runs coroutine functions, each in a loop of its own."""
    return Host()


@pytest.fixture(params=KINDS)
def any_host(request: pytest.FixtureRequest) -> Host:
    """The same, once for each kind of event loop."""
    return Host(request.param)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A project, a store and the means to run things there."""
    found = Lab(tmp_path / "lab")
    yield found
    found.close()

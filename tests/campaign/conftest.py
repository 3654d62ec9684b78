"""Each test has a laboratory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A project, a store and the means to run things there."""
    found = Lab(tmp_path / "lab")
    yield found
    found.close()

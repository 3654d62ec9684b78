"""A real model on this machine: `nox -s model` starts servers that have one, and runs what is in this folder."""

import os

import pytest

VARIABLE = "TRIO_RECIPES_TEST_MODEL"
"""Holds the ``base_url`` of an OpenAI-compatible endpoint, such as ``http://127.0.0.1:8080/v1``."""


@pytest.fixture
def address() -> str:
    """Where the model answers."""
    found = os.environ.get(VARIABLE)
    if not found:
        pytest.skip(f"no real model here: `nox -s model` makes one, or set {VARIABLE} to a base_url")
    return found

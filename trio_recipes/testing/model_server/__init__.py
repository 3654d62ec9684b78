"""A server that speaks the APIs of OpenAI and Anthropic over real HTTP, without a model behind it.

In tests::

    async with serving(stalls("The answer ")) as server:
        ...                             # base_url is server.url
        await server.until_left()       # the client has closed its connection

Without any: ``python -m trio_recipes.testing.model_server --help``.
"""

from __future__ import annotations

from importlib.util import find_spec

from trio_recipes.errors import ConfigurationError

if find_spec("h11") is None:
    raise ConfigurationError("the model server needs h11: pip install 'trio-recipes[llm]'")

from trio_recipes.testing.model_server.script import (
    Answer,
    Asked,
    Complain,
    HangUp,
    Refusal,
    Say,
    Script,
    Send,
    Stream,
    Think,
    Wait,
    hangs_up,
    in_turn,
    refuses,
    repeats,
    says,
    stalls,
)
from trio_recipes.testing.model_server.server import ModelServer, Outcome, Visit, serving

__all__ = (
    "Answer",
    "Asked",
    "Complain",
    "HangUp",
    "ModelServer",
    "Outcome",
    "Refusal",
    "Say",
    "Script",
    "Send",
    "Stream",
    "Think",
    "Visit",
    "Wait",
    "hangs_up",
    "in_turn",
    "refuses",
    "repeats",
    "says",
    "serving",
    "stalls",
)

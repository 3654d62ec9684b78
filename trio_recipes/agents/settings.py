"""What is said of an agent, in whichever of the forms that people use, as one mapping; and how two such are merged.

The keys that choose who answers are those of a step (``provider``, ``model``, ``provider_preferences``, ``model_role``)
and ``class``. All others are settings, for the backend: ``system``, ``temperature``, ``max_tokens``, ``tools``, ….
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from trio_recipes.errors import ConfigurationError
from trio_recipes.language.wording import kind_of, listed, shown
from trio_recipes.values import Value

Settings: TypeAlias = Mapping[str, Value]

CHOICE: Final = frozenset({"class", "model", "model_role", "provider", "provider_preferences"})
"""Keys that choose who answers."""

KEYS: Final = frozenset({"api_key", "api_key_env"})
"""Fields that hold a key, or name the environment variable that holds one."""

TARGETS: Final = frozenset({"base_url", "command", "endpoint", "url"})
"""Fields that say where a key would go."""

_SYSTEM: Final = ("system", "system_prompt", "instruction", "instructions")


def merged(under: Settings, over: Settings) -> dict[str, Value]:
    """``over`` merged deeply over ``under``: mappings key by key, all else replaced."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def settled(under: Settings, over: Settings) -> dict[str, Value]:
    """As :func:`merged`; but whoever says anything about the choice says all of it."""
    if CHOICE & over.keys() - {"model"}:
        under = {name: value for name, value in under.items() if name not in CHOICE}
    elif "model" in over:
        under = {name: value for name, value in under.items() if name not in CHOICE or name == "provider"}
    return merged(under, over)


def as_settings(raw: Settings) -> dict[str, Value]:
    """What a definition or a step's ``agent_config`` says, under our names.

    Understood besides: ``providers: [{module: provider-x, config: {…}}]``, ``tools`` as text with commas or as mappings
    with ``module``, a model to be inherited, and ``system_prompt`` or ``instruction`` for ``system``.

    Raises:
        ConfigurationError: it names an endpoint, a program or a key.
    """
    refused = (KEYS | TARGETS) & raw.keys()
    if refused:
        raise ConfigurationError(
            f"{listed(refused)}: an agent's endpoint, program and key are not a recipe's or a definition's to say; "
            "name a provider, and configure that in ~/.config/trio_recipes/agents.yaml"
        )
    known = {name: value for name, value in raw.items() if name not in ("providers", "tools", *_SYSTEM)}
    if known.get("model") == "inherit":
        del known["model"]
    system = next((raw[name] for name in _SYSTEM if raw.get(name) is not None), None)
    extra = {"system": system} if system is not None else {}
    tools = _tools(raw.get("tools"))
    return {**_from_module(raw.get("providers")), **known, **extra, **({"tools": tools} if tools is not None else {})}


def _from_module(providers: Value) -> dict[str, Value]:
    first = providers[0] if isinstance(providers, list) and providers else None
    if not isinstance(first, dict) or not isinstance(first.get("module"), str):
        return {}
    config = first.get("config")
    options: dict[str, Value] = config if isinstance(config, dict) else {}
    model = options.get("model") or options.get("default_model")
    found: dict[str, Value] = {"provider": str(first["module"]).removeprefix("provider-")}
    found |= {"model": model} if model else {}
    return found | {name: options[name] for name in ("temperature", "max_tokens") if name in options}


def _tools(value: Value) -> list[Value] | None:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list):
        return None
    return [tool["module"] if isinstance(tool, dict) and "module" in tool else tool for tool in value]


def text_in(settings: Mapping[str, Any], name: str, whose: str) -> str | None:
    """A text of the settings, or None if it is not there.

    Raises:
        ConfigurationError: it is something else.
    """
    value = settings.get(name)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise ConfigurationError(f"{whose}: {name}: takes text; found {kind_of(value)}: {shown(value)}")

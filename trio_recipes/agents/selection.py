"""Which providers and models may answer a request, in order: the rules of the language, as pure functions.

What a step says comes first: ``provider_preferences``, ``model_role``, ``provider`` and ``model``; then what is said
of its agent; then the first provider there is. A step's own provider or preferences are meant as they are written: if
none of them is available, nothing else is asked in their place. A role that nobody has described is as good as none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import evolve

from trio_recipes.agents.settings import CHOICE, Settings, as_settings, merged, settled, text_in
from trio_recipes.classes import frozen
from trio_recipes.errors import ConfigurationError
from trio_recipes.language.wording import did_you_mean, listed, shown

if TYPE_CHECKING:
    from trio_recipes.agents.provider import Provider
    from trio_recipes.agents.registry import Agents
    from trio_recipes.language.model import AgentStep
    from trio_recipes.runtime.ports import AgentRequest
    from trio_recipes.values import Value


Wanted: TypeAlias = "AgentStep | AgentRequest"
"""What a step says about who is to answer it: a step and its request have this alike."""


@frozen
class Option:
    """One way to have a request answered.

    Args:
        name: the provider, or the class of models, that was asked for.
        provider: the provider, or None if there is none of that name.
        model: exact, or a glob; None leaves it to the backend.
        why_not: why it can't be taken, as far as that is known without asking anybody; "" if it may.
    """

    name: str
    provider: Provider | None = None
    model: str | None = None
    why_not: str = ""


@frozen
class Selection:
    """How a request may be answered.

    Args:
        options: in order; the first that is available is taken.
        settings: the agent's, the step's own ones merged over them; without what chooses.
    """

    options: tuple[Option, ...]
    settings: Settings

    @property
    def possible(self) -> tuple[Option, ...]:
        """The options that nothing is known against."""
        return tuple(option for option in self.options if not option.why_not)

    @property
    def complaint(self) -> str:
        """What is wrong with all the others."""
        return "; ".join(f"{option.name}: {option.why_not}" for option in self.options if option.why_not)


def select(wanted: Wanted, known: Agents) -> Selection:
    """All that may answer a request.

    Args:
        wanted: the step, or the request.
        known: who may answer.

    Raises:
        ConfigurationError: nothing answers the agent, or what is said of it makes no sense.
    """
    entry = known.entry(wanted.agent)
    if entry is None:
        raise ConfigurationError(
            f"nothing answers the agent {shown(wanted.agent)}: name a backend for it in trio-recipes.toml, in "
            "~/.config/trio_recipes/agents.yaml or in a file for --agents; `--agents echo` answers with the prompt"
        )
    if entry.pinned is not None and not entry.pinned.kind:
        return _left_to_the_application(entry.pinned, entry.settings, wanted)
    settings = settled(entry.settings, as_settings(wanted.agent_config))
    if entry.pinned is not None:
        options: tuple[Option, ...] = (_pinned(entry.pinned, wanted, settings),)
    else:
        options = _Choosing(known, known.all_providers(), settings, f"agent {wanted.agent!r}").options(wanted)
    rest = {name: value for name, value in settings.items() if name not in CHOICE}
    return Selection(tuple(map(_judged, options)), rest)


def _left_to_the_application(provider: Provider, settings: Settings, wanted: Wanted) -> Selection:
    """A backend of an application's own gets all wishes as they are written, and makes of them what it likes."""
    return Selection((Option(provider.name, provider, wanted.model),), merged(settings, wanted.agent_config))


def _judged(option: Option) -> Option:
    provider = option.provider
    if provider is None or option.why_not:
        return option
    why = provider.lacks() or ""
    if not why and option.model is None and provider.lists_models and provider.key is not None:
        why = "no model is named: set 'model' there, for the agent, or on the step"  # who has a key has many models
    return evolve(option, why_not=why)


def _pinned(provider: Provider, wanted: Wanted, settings: Settings) -> Option:
    """A backend of the agent's own answers all wishes; those that name another provider don't concern its models."""
    whose = f"agent {wanted.agent!r}"
    wish = wanted.model or text_in(settings, "model", whose)
    if provider.lists_models and wanted.provider not in (None, provider.kind):
        wish = None
    for preference in wanted.provider_preferences:
        if preference.get("provider") == provider.kind or preference.get("class") in provider.models:
            wish = text_in(preference, "model", whose) or text_in(preference, "class", whose)
            break
    return Option(provider.name, provider, provider.meant_by(wish))


@frozen
class _Choosing:
    """Turns wishes into options.

    Args:
        known: who may answer.
        providers: by name, in order.
        settings: of the agent.
        whose: for messages.
    """

    known: Agents
    providers: Mapping[str, Provider]
    settings: Settings
    whose: str

    def options(self, wanted: Wanted) -> tuple[Option, ...]:
        """Those of the step, or else those of the agent."""
        if wanted.provider_preferences:
            return self._preferred(wanted.provider_preferences)
        if wanted.model_role is not None:
            return (*self._preferred(self.known.role(wanted.model_role)), *self._own())
        if wanted.provider is not None:
            return (self._of(wanted.provider, wanted.model),)
        if wanted.model is not None:
            return tuple(evolve(each, model=_meant(each, wanted.model)) for each in self._own())
        return self._own()

    def _own(self) -> tuple[Option, ...]:
        """Those of the agent, or else the first provider."""
        preferences = self.settings.get("provider_preferences")
        if preferences is not None:
            return self._preferred(_checked(preferences, self.whose))
        named, wish = (text_in(self.settings, name, self.whose) for name in ("class", "model"))
        if named is not None:
            return self._preferred([{"class": named}])
        options = tuple(option for role in self._roles() for option in self._preferred(self.known.role(role)))
        provider = text_in(self.settings, "provider", self.whose) or next(iter(self.providers), None)
        return (*options, self._of(provider, wish)) if provider is not None else options

    def _roles(self) -> Sequence[str]:
        """The agent's role; definitions of bundles name several, in order."""
        roles = self.settings.get("model_role")
        if isinstance(roles, list) and all(isinstance(role, str) for role in roles):
            return [role for role in roles if isinstance(role, str)]
        role = text_in(self.settings, "model_role", self.whose)
        return [role] if role is not None else []

    def _preferred(self, preferences: Sequence[Mapping[str, Any]]) -> tuple[Option, ...]:
        return tuple(option for each in preferences for option in self._by(each))

    def _by(self, preference: Mapping[str, Any]) -> tuple[Option, ...]:
        if "provider" in preference:
            return (self._of(preference["provider"], preference.get("model")),)
        return self._of_class(preference["class"])

    def _of(self, name: str, wish: str | None) -> Option:
        provider = self.providers.get(name)
        if provider is not None:
            return Option(name, provider, provider.meant_by(wish))
        near = did_you_mean(name, self.providers)
        return Option(
            name, None, wish, f"no provider of this name is configured{near} (there are: {listed(self.providers)})"
        )

    def _of_class(self, name: str) -> tuple[Option, ...]:
        """Every provider that has a model for it, the agent's own first."""
        own = self.settings.get("provider")
        order = sorted(self.providers.items(), key=lambda item: item[0] != own)
        found = tuple(
            Option(each, provider, provider.models[name]) for each, provider in order if name in provider.models
        )
        return found or (Option(f"class {name}", None, None, "no provider says which of its models is meant for it"),)


def _meant(option: Option, wish: str) -> str | None:
    return option.provider.meant_by(wish) if option.provider else wish


def _checked(preferences: Value, whose: str) -> Sequence[Mapping[str, Any]]:
    """Preferences that come from a step's ``agent_config``, or from a definition: nobody has looked at them yet."""
    each = preferences if isinstance(preferences, list) else [None]
    for preference in each:
        texts = [preference.get(name) for name in ("provider", "class")] if isinstance(preference, dict) else []
        if sum(isinstance(text, str) for text in texts) != 1:
            text = f"{whose}: provider_preferences: takes a list of mappings with 'provider' or 'class'"
            raise ConfigurationError(f"{text}; found {shown(preferences)}")
    return [each for each in each if isinstance(each, dict)]

"""Recipes that people can stop: a trio-based structured-concurrency runtime for YAML workflows.

The public names, nothing else. Each is imported when it is first used: ``import trio_recipes`` stays quick, and the
``cancel`` command never imports trio.
"""

from __future__ import annotations

import trio_recipes._ground  # isort: skip  # noqa: F401  # pyright: ignore[reportUnusedImport]  first, before all else

from importlib import import_module
from typing import TYPE_CHECKING

from trio_recipes._version import __version__ as __version__

if TYPE_CHECKING:
    from trio_recipes.agents.resolver import Resolver as Resolver
    from trio_recipes.agents.resolver import StandardResolver as StandardResolver
    from trio_recipes.errors import ApprovalGatePausedError as ApprovalGatePausedError
    from trio_recipes.errors import BackendError as BackendError
    from trio_recipes.errors import CancellationRequestedError as CancellationRequestedError
    from trio_recipes.errors import ConfigurationError as ConfigurationError
    from trio_recipes.errors import InternalError as InternalError
    from trio_recipes.errors import InvalidCallError as InvalidCallError
    from trio_recipes.errors import InvalidRecipeError as InvalidRecipeError
    from trio_recipes.errors import Problem as Problem
    from trio_recipes.errors import RecipeError as RecipeError
    from trio_recipes.errors import RecipesError as RecipesError
    from trio_recipes.errors import SessionBusyError as SessionBusyError
    from trio_recipes.errors import SessionError as SessionError
    from trio_recipes.errors import SessionFinishedError as SessionFinishedError
    from trio_recipes.errors import SessionNotFoundError as SessionNotFoundError
    from trio_recipes.errors import StepFailedError as StepFailedError
    from trio_recipes.errors import StoreError as StoreError
    from trio_recipes.events import ApprovalStatus as ApprovalStatus
    from trio_recipes.events import Cancellation as Cancellation
    from trio_recipes.events import CancellationStatus as CancellationStatus
    from trio_recipes.events import Level as Level
    from trio_recipes.events import SessionStatus as SessionStatus
    from trio_recipes.events import Source as Source
    from trio_recipes.failure import Failure as Failure
    from trio_recipes.frontends.tool.result import ToolResult as ToolResult
    from trio_recipes.frontends.tool.tool import RecipesTool as RecipesTool
    from trio_recipes.language.load import load_recipe as load_recipe
    from trio_recipes.language.model import AgentStep as AgentStep
    from trio_recipes.language.model import BashStep as BashStep
    from trio_recipes.language.model import BlockStep as BlockStep
    from trio_recipes.language.model import FunctionStep as FunctionStep
    from trio_recipes.language.model import Limits as Limits
    from trio_recipes.language.model import Recipe as Recipe
    from trio_recipes.language.model import RecipeStep as RecipeStep
    from trio_recipes.language.model import Stage as Stage
    from trio_recipes.language.model import Step as Step
    from trio_recipes.progress.plan import Plan as Plan
    from trio_recipes.progress.plan import Planned as Planned
    from trio_recipes.runtime.ports import AgentBackend as AgentBackend
    from trio_recipes.runtime.ports import AgentCall as AgentCall
    from trio_recipes.runtime.ports import AgentReply as AgentReply
    from trio_recipes.runtime.ports import AgentRequest as AgentRequest
    from trio_recipes.runtime.ports import Choice as Choice
    from trio_recipes.sessions.manager import SessionManager as SessionManager
    from trio_recipes.sessions.opening import open_runtime as open_runtime
    from trio_recipes.sessions.opening import run_recipe as run_recipe
    from trio_recipes.sessions.policy import Policy as Policy
    from trio_recipes.sessions.recipes import validate_recipe as validate_recipe
    from trio_recipes.sessions.result import SessionResult as SessionResult
    from trio_recipes.sessions.runtime import Runtime as Runtime
    from trio_recipes.sessions.session import CancelReply as CancelReply
    from trio_recipes.sessions.session import Session as Session

_HOME = {
    "agents.resolver": "Resolver StandardResolver",
    "errors": """ApprovalGatePausedError BackendError CancellationRequestedError ConfigurationError InternalError
        InvalidCallError InvalidRecipeError Problem RecipeError RecipesError SessionBusyError SessionError
        SessionFinishedError SessionNotFoundError StepFailedError StoreError""",
    "events": "ApprovalStatus Cancellation CancellationStatus Level SessionStatus Source",
    "failure": "Failure",
    "frontends.tool.result": "ToolResult",
    "frontends.tool.tool": "RecipesTool",
    "language.load": "load_recipe",
    "language.model": "AgentStep BashStep BlockStep FunctionStep Limits Recipe RecipeStep Stage Step",
    "progress.plan": "Plan Planned",
    "runtime.ports": "AgentBackend AgentCall AgentReply AgentRequest Choice",
    "sessions.manager": "SessionManager",
    "sessions.policy": "Policy",
    "sessions.recipes": "validate_recipe",
    "sessions.result": "SessionResult",
    "sessions.opening": "open_runtime run_recipe",
    "sessions.runtime": "Runtime",
    "sessions.session": "CancelReply Session",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = ["__version__", *sorted(_MODULE)]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    module = _MODULE.get(name)
    if module is None:
        raise AttributeError(f"module 'trio_recipes' has no attribute {name!r}")
    value: object = getattr(import_module(f"trio_recipes.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]

"""What can happen in a session, as frozen classes: the one vocabulary of runtime, store and front ends.

Only the owner of a session writes events, in order, each once. Everything that is known about a session is folded from
them (:mod:`trio_recipes.progress.fold`). The list is closed: readers may rely on there being no other kind, ignore
fields they do not know, and refuse a higher ``v``.

Every class has a ``path``: the scope it is about, ``''`` for the session itself. When an event happened, its place in
the order and the run it belongs to are the envelope's (:class:`Stamped`), so that making an event costs little.
"""

from __future__ import annotations

from trio_recipes.events.base import VERSION as VERSION
from trio_recipes.events.base import Cancellation as Cancellation
from trio_recipes.events.base import Event as Event
from trio_recipes.events.base import Holdout as Holdout
from trio_recipes.events.base import Stamped as Stamped
from trio_recipes.events.scope import AgentAccount as AgentAccount
from trio_recipes.events.scope import AgentAnswered as AgentAnswered
from trio_recipes.events.scope import AgentAnswering as AgentAnswering
from trio_recipes.events.scope import AgentAsked as AgentAsked
from trio_recipes.events.scope import AgentBrokeOff as AgentBrokeOff
from trio_recipes.events.scope import AttemptFailed as AttemptFailed
from trio_recipes.events.scope import AttemptStarted as AttemptStarted
from trio_recipes.events.scope import Output as Output
from trio_recipes.events.scope import Resisted as Resisted
from trio_recipes.events.scope import ScopeFinished as ScopeFinished
from trio_recipes.events.scope import ScopeStarted as ScopeStarted
from trio_recipes.events.scope import Signalled as Signalled
from trio_recipes.events.scope import Waiting as Waiting
from trio_recipes.events.scope import Warned as Warned
from trio_recipes.events.scope import WorkEnded as WorkEnded
from trio_recipes.events.session import ApprovalDecided as ApprovalDecided
from trio_recipes.events.session import ApprovalRequested as ApprovalRequested
from trio_recipes.events.session import ApprovalWithdrawn as ApprovalWithdrawn
from trio_recipes.events.session import CancellationCleared as CancellationCleared
from trio_recipes.events.session import CancelRequested as CancelRequested
from trio_recipes.events.session import ContextChanged as ContextChanged
from trio_recipes.events.session import RecipeFrozen as RecipeFrozen
from trio_recipes.events.session import RecipeReplaced as RecipeReplaced
from trio_recipes.events.session import RecordsVoided as RecordsVoided
from trio_recipes.events.session import RequestAnswered as RequestAnswered
from trio_recipes.events.session import RunEnded as RunEnded
from trio_recipes.events.session import RunStarted as RunStarted
from trio_recipes.events.session import SessionCreated as SessionCreated
from trio_recipes.statuses import LIFECYCLE as LIFECYCLE
from trio_recipes.statuses import ApprovalStatus as ApprovalStatus
from trio_recipes.statuses import CancellationStatus as CancellationStatus
from trio_recipes.statuses import Level as Level
from trio_recipes.statuses import ScopeStatus as ScopeStatus
from trio_recipes.statuses import SessionStatus as SessionStatus
from trio_recipes.statuses import Source as Source

KINDS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in (
        SessionCreated,
        RunStarted,
        RecipeFrozen,
        RecipeReplaced,
        ContextChanged,
        RecordsVoided,
        ScopeStarted,
        AttemptStarted,
        AttemptFailed,
        Output,
        AgentAsked,
        AgentAnswering,
        AgentAnswered,
        AgentBrokeOff,
        Waiting,
        Warned,
        Signalled,
        Resisted,
        ScopeFinished,
        WorkEnded,
        CancelRequested,
        RequestAnswered,
        ApprovalRequested,
        ApprovalDecided,
        ApprovalWithdrawn,
        CancellationCleared,
        RunEnded,
    )
}
"""The closed list, by name."""

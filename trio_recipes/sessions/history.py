"""A session as its records tell it: everything known, and the variables that a walk over the finished part leaves.

For looking only: nothing runs, nothing is written, no backend and no function is imported.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trio_recipes.classes import frozen
from trio_recipes.errors import InternalError
from trio_recipes.progress.asks import Enter
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.frame import Frame, SessionFacts, root_frame
from trio_recipes.progress.masked import shown
from trio_recipes.progress.outcome import CANCELLED, Outcome
from trio_recipes.progress.path import ROOT
from trio_recipes.progress.replay import Replay
from trio_recipes.progress.times import iso
from trio_recipes.progress.vault import Vault, hidden
from trio_recipes.progress.walk import walk_recipe
from trio_recipes.sessions.recipes import FrozenRecipes
from trio_recipes.sessions.secrets import restored
from trio_recipes.store.codec import from_row

if TYPE_CHECKING:
    from trio_recipes.progress.standing import Standing
    from trio_recipes.store.session_file import SessionFile


@frozen(eq=False)
class History:
    """What is known of a session.

    Args:
        standing: where it stands.
        progress: its records.
        frame: the root recipe's variables, as far as the run came.
        outcome: of the root, as far as the records say.
    """

    standing: Standing
    progress: Progress
    frame: Frame
    outcome: Outcome


def read_history(file: SessionFile) -> History:
    """Read a session's records and walk the finished part of it. Blocks; a large session takes a while.

    Raises:
        SessionNotFoundError: if there is no such session.
        StoreUnusableError: if its file is damaged.
    """
    with file.reading() as connection:
        standing = file.standing(connection)
        rows = file.rows(connection)
    progress = fold(shown(from_row(row)) for row in rows)
    frame, outcome = replayed(progress)
    return History(standing, progress, frame, outcome)


def replayed(progress: Progress) -> tuple[Frame, Outcome]:
    """The root frame after a walk over what is finished, and the root's outcome."""
    created = progress.created
    assert created is not None
    recipes = FrozenRecipes(created.project_path, progress.recipes)
    facts = SessionFacts(created.session_id, iso(progress.created_at), created.project_path, Vault(hidden))
    root = recipes.root()
    frame = root_frame(root, restored(root, created.context, {}), facts)
    replay = Replay(progress, recipes.known)
    try:
        outcome = replay.scope(Enter(ROOT, "session", partial(walk_recipe, frame, ROOT)))
    except InternalError:
        if not any(recipes.parse(key).secrets for key in progress.recipes):
            raise
        return frame, CANCELLED  # a condition hung on a secret, whose value is not known here: shown as far as it is
    return frame, outcome

"""Resuming with another recipe, other variables, or from another place: read and checked before anything changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import evolve

from trio_recipes.classes import frozen
from trio_recipes.errors import UnknownScopeError
from trio_recipes.events import ContextChanged, Event, RecipeReplaced, RecordsVoided, SessionCreated, Stamped
from trio_recipes.language.model import Recipe
from trio_recipes.language.references import literal_sub_recipes
from trio_recipes.progress.carry import Dated, carried
from trio_recipes.progress.fold import Progress, fold
from trio_recipes.progress.frame import SessionFacts, root_frame
from trio_recipes.progress.path import ROOT
from trio_recipes.progress.plan import Plan, plan_of
from trio_recipes.progress.retrace import Recipes, Trail, retrace
from trio_recipes.progress.times import iso
from trio_recipes.progress.vault import Vault, hidden
from trio_recipes.progress.verdicts import Fate
from trio_recipes.sessions.recipes import ROOT_KEY, FrozenRecipes, Prepared, prepare
from trio_recipes.sessions.scopes import check_path
from trio_recipes.sessions.secrets import references, restored
from trio_recipes.sessions.sources import BUNDLE, Sources
from trio_recipes.store.layout import new_session_id
from trio_recipes.store.runs import preview
from trio_recipes.values import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trio_recipes.events import RecipeFrozen
    from trio_recipes.progress.asks import NeedRecipe
    from trio_recipes.store.session_file import SessionFile
    from trio_recipes.values import Value

Source: TypeAlias = "Recipe | str | os.PathLike[str]"
"""A recipe's file, or a recipe that was loaded before."""


@frozen(eq=False)
class Revision:
    """What is to be different from now on.

    Args:
        replacement: the recipe and those it names, or None to keep what is frozen.
        context: variables of the caller, over those that the session has.
        secrets: those of them that no record may hold.
    """

    replacement: Prepared | None
    context: Mapping[str, Value]
    secrets: Mapping[str, Value]

    def news(self) -> list[Event]:
        """The events that say so."""
        context = [ContextChanged(context=self.context)] if self.context else []
        return [*(_replacing(self.replacement) if self.replacement else ()), *context]

    def events(self, progress: Progress) -> list[Event]:
        """These, and what becomes void by them."""
        news = self.news()
        voided = retraced(progress, news)[0].voiding(progress)
        return [*news, *([voided] if voided != RecordsVoided() else [])]


def _replacing(prepared: Prepared) -> list[Event]:
    recipe = prepared.recipe
    replaced = RecipeReplaced(
        recipe_name=recipe.name,
        recipe_version=recipe.version,
        recipe_file=recipe.file,
        recipe_digest=recipe.digest,
        cleans_up=prepared.cleans_up,
    )
    return [replaced, *prepared.frozen()]


# --- reading what the caller wants -------------------------------------------------------------------------------


def read_revision(
    progress: Progress, recipe: Source | None, context: Mapping[str, object] | None, sources: Sources
) -> Revision:
    """Read and check what a caller wants to be different.

    Raises:
        InvalidRecipeError: with every problem of the new recipe and those it names.
        ValueRefusedError: if ``context`` holds what JSON can't.
    """
    created = _created(progress)
    given = normalise(dict(context or {}), "context")
    assert isinstance(given, dict)
    replacement = None if recipe is None else _read(progress, recipe, {**created.context, **given}, sources)
    root = replacement.recipe if replacement else FrozenRecipes(created.project_path, progress.recipes).root()
    secrets = {name: value for name, value in given.items() if name in root.secrets}
    return Revision(replacement, {n: v for n, v in given.items() if n not in secrets}, secrets)


def _read(progress: Progress, recipe: Source, given: Iterable[str], sources: Sources) -> Prepared:
    """The new recipe, what it names, and what is there now of the sub-recipes whose paths only the run knew."""
    project = _created(progress).project_path
    prepared = prepare(recipe if isinstance(recipe, Recipe) else Path(recipe), given, project, sources)
    found = dict(prepared.sub_recipes)
    for key in _templated(FrozenRecipes(project, progress.recipes)):
        if key not in found and (key.startswith(BUNDLE) or os.path.isfile(key)):  # noqa: PTH113  never raises
            found[key] = sources.load_allowed(key)
    return evolve(prepared, sub_recipes=found)


def _templated(recipes: FrozenRecipes) -> Iterator[str]:
    """Keys of the sub-recipes that no literal path leads to."""
    literal, ahead = {ROOT_KEY}, [recipes.root()]
    while ahead:
        recipe = ahead.pop()
        keys = {recipes.key_of(name, recipe.file) for _, name in literal_sub_recipes(recipe)} - literal
        literal |= keys
        ahead += [recipes.parse(key) for key in keys if key in recipes.frozen]
    return (key for key in recipes.frozen if key not in literal)


# --- what follows from it ----------------------------------------------------------------------------------------


def retraced(progress: Progress, news: Sequence[Event], since: str | None = None) -> tuple[Trail, Progress]:
    """Which records stay, and what is known of the session once ``news`` count."""
    now = evolve(progress, recipes=dict(progress.recipes))
    for event in news:
        now.apply(Stamped(now.last_seq + 1, now.run, 0, event))
    before, after = _created(progress), _created(now)
    old = FrozenRecipes(before.project_path, progress.recipes)
    new = FrozenRecipes(after.project_path, now.recipes) if now.recipes != progress.recipes else old
    root = new.root()
    # Who the session is does not change for its records: {{session.id}} stays what it was when they were made.
    facts = SessionFacts(before.session_id, iso(progress.created_at), before.project_path, Vault(hidden))
    frame = root_frame(root, restored(root, after.context, {}), facts)
    was = (old.root(), restored(old.root(), before.context, {}))
    return retrace(progress, frame, was, _lookups(old, new), since), now


def _lookups(old: FrozenRecipes, new: FrozenRecipes) -> Recipes:
    """A call means the file beside its caller: where that stands elsewhere now, so did its old sub-recipes."""
    moved = {new.frozen[ROOT_KEY].file: old.frozen[ROOT_KEY].file}

    def before(ask: NeedRecipe) -> Recipe | None:
        found = old.known(evolve(ask, origin=moved.get(ask.origin, ask.origin)))
        now = new.known(ask)
        if found is not None and now is not None:
            moved[now.file] = found.file
        return found

    return Recipes(new.known, before)


def _created(progress: Progress) -> SessionCreated:
    assert progress.created is not None
    return progress.created


# --- for callers -------------------------------------------------------------------------------------------------


def recipe_of(file: SessionFile) -> Recipe:
    """The recipe that is frozen in a session."""
    progress = fold(preview(file, finished=True))
    return FrozenRecipes(_created(progress).project_path, progress.recipes).root()


def revision_of(
    file: SessionFile, sources: Sources, recipe: Source | None, context: Mapping[str, object] | None
) -> Revision:
    """Read and check what a resume is to change, for a session that can be resumed.

    Raises:
        RecipesError: as :func:`plan_resume` does.
    """
    return read_revision(fold(preview(file)), recipe, context, sources)


def plan_resume(
    file: SessionFile,
    sources: Sources,
    recipe: Source | None = None,
    context: Mapping[str, object] | None = None,
    since: str | None = None,
) -> Plan:
    """What resuming a session so would do. Nothing is changed, owned, imported or run.

    Raises:
        RecipesError: what the resume would raise before anything runs, but for what is not configured.
    """
    progress = fold(preview(file, finished=since is not None))
    news = read_revision(progress, recipe, context, sources).news()
    trail, now = retraced(progress, news, since)
    if since is not None:
        _check_since(since, trail, progress, now)
    return plan_of(file.session_id, progress, trail)


@frozen(eq=False)
class Branch:
    """A new session that begins with what another one has done.

    Args:
        created: its first event.
        recipes: what is frozen in it.
        carried: what it takes over.
        progress: what is known of the old session, with the new recipe and variables.
        secrets: values that no record may hold.
    """

    created: SessionCreated
    recipes: Sequence[RecipeFrozen]
    carried: Sequence[Dated]
    progress: Progress
    secrets: Mapping[str, Value]


def branch_off(
    file: SessionFile,
    sources: Sources,
    since: str,
    recipe: Source | None = None,
    context: Mapping[str, object] | None = None,
) -> Branch:
    """Prepare a session that runs ``since`` and everything after it again; the old one is only read.

    Raises:
        UnknownScopeError: if the session can have no such scope, or has finished without coming to it.
        SessionBusyError: if a live process runs it.
        InvalidRecipeError: with every problem of the new recipe.
    """
    stamped = preview(file, finished=True)
    progress = fold(stamped)
    revision = read_revision(progress, recipe, context, sources)
    trail, now = retraced(progress, revision.news(), since)
    _check_since(since, trail, progress, now)
    context = references(trail.called[ROOT][0], _created(now).context)
    created = evolve(_created(now), session_id=new_session_id(), parent_session_id=file.session_id, context=context)
    return Branch(created, list(now.recipes.values()), carried(stamped, progress, trail), now, revision.secrets)


def _check_since(since: str, trail: Trail, progress: Progress, now: Progress) -> None:
    if since not in progress.records:
        check_path(FrozenRecipes(_created(now).project_path, now.recipes), since)
    root = trail.verdicts.get(ROOT)
    if root is not None and root.fate is Fate.REUSED:
        raise UnknownScopeError(f"the session has finished without coming to {since!r}: nothing would run again")

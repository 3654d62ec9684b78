"""Making a session that has not begun."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import evolve

from trio_recipes.events import SessionCreated
from trio_recipes.sessions.recipes import Prepared, prepare
from trio_recipes.sessions.secrets import references
from trio_recipes.sessions.sources import Sources, project_bundles
from trio_recipes.store.layout import new_session_id
from trio_recipes.store.runs import create

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_recipes.language.model import Recipe
    from trio_recipes.store.sqlite import SqliteStore
    from trio_recipes.values import Value


def created_event(prepared: Prepared, project: str, context: Mapping[str, Value], parent: str | None) -> SessionCreated:
    """The first event of a new session."""
    recipe = prepared.recipe
    return SessionCreated(
        session_id=new_session_id(),
        recipe_name=recipe.name,
        recipe_version=recipe.version,
        recipe_file=recipe.file,
        project_path=project,
        context=references(recipe, context),
        parent_session_id=parent,
        recipe_digest=recipe.digest,
        cleans_up=prepared.cleans_up,
    )


def create_unstarted(
    store: SqliteStore,
    recipe: Recipe,
    project: str,
    recipe_path: str | os.PathLike[str] | None,
    parent: str | None,
) -> str:
    """Check a recipe and make a session of it durable, without an owner; returns its id."""
    if recipe_path is not None:
        recipe = evolve(recipe, file=os.path.realpath(recipe_path))
    prepared = prepare(recipe, (), project, Sources(bundles=project_bundles(project)))
    created = created_event(prepared, project, {}, parent)
    create(store.file(created.session_id), created, prepared.frozen(), None)
    return created.session_id

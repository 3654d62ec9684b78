"""Opening the store that an address names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_recipes.store.layout import default_url

if TYPE_CHECKING:
    from trio_recipes.store.sqlite import SqliteStore


def open_store(url: str | None = None, *, durability: str = "power", create: bool = True) -> SqliteStore:
    """Open a store.

    Args:
        url: ``sqlite:///FOLDER``, a folder's path, or None for the user's own (``TRIO_RECIPES_STORE``).
        durability: ``power`` (an fsync per commit) or ``process`` (survives any crash of the program only).
        create: make it if it is not there.

    Raises:
        StoreUnusableError: if the address is no store and can't become one.
        StoreTooNewError: if a newer version wrote it.
    """
    from trio_recipes.store.sqlite import SqliteStore  # noqa: PLC0415  one backend of several: loaded when named

    return SqliteStore.open(url or default_url(), durability=durability, create=create)

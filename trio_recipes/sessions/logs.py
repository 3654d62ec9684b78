"""Secrets stay out of what this package logs: they are masked in the message and in the traceback of each record."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from trio_recipes.progress.vault import Vault

LOGGERS: Final = (
    "trio_recipes.integrations",
    "trio_recipes.processes",
    "trio_recipes.steps",
    "trio_recipes.store.journal",
)
"""Every logger of the package: a filter of a logger is not asked about what those below it log."""

_vaults: WeakSet[Vault] = WeakSet()
_formatter = logging.Formatter()


def hide_in_logs(vault: Vault) -> None:
    """Mask the secrets of a run in what is logged, for as long as anything knows them."""
    _vaults.add(vault)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_mask)  # the same one again changes nothing


def _mask(record: logging.LogRecord) -> bool:
    masks = [vault.mask for vault in _vaults if vault.mask]
    if not masks:
        return True
    message = record.getMessage()
    trace = record.exc_text or (_formatter.formatException(record.exc_info) if record.exc_info else "")
    for mask in masks:
        message, trace = mask.text(message), mask.text(trace)
    record.msg, record.args = message, None
    record.exc_info, record.exc_text = None, trace or None
    return True

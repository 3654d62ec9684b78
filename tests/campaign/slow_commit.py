"""A commit that takes its time: a request can be made in the middle of it."""

import threading
from typing import Any

import pytest
from attrs import define, field

from tests.campaign.lab import PATIENCE
from tests.campaign.zygote import records_end
from trio_recipes.store import records


@define(eq=False)
class SlowCommit:
    """Keeps the transaction that records the end of ``path`` open until told to go on."""

    path: str
    reached: threading.Event = field(factory=threading.Event)
    go: threading.Event = field(factory=threading.Event)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the way of the store."""
        add_events = records.add_events

        def added(connection: Any, session_id: str, rows: Any, *, count: bool) -> None:
            rows = list(rows)
            add_events(connection, session_id, rows, count=count)
            if any(records_end(row[3], row[4], self.path) for row in rows) and not self.reached.is_set():
                self.reached.set()
                assert self.go.wait(PATIENCE)

        monkeypatch.setattr(records, "add_events", added)

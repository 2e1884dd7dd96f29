"""Many lookups of one kind share a statement.

A lookup runs at once if none is running. Lookups that arrive meanwhile share the next statement. So a busy service never has more
than one statement of a kind at the database.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import Lookup

Found = TypeVar("Found")
PendingLookup = asyncio.Future[Found | None]
BATCH_MAX = 256  # ids in one statement


class Loader(Generic[Found]):
    """Lookups of one kind, for one organisation, or by ids that tell the organisation."""

    def __init__(self, database: Database, organisation: str | None, lookup: Lookup[Found]) -> None:
        self._database = database
        self._organisation = organisation
        self._lookup = lookup
        self._waiting: dict[str, list[PendingLookup[Found]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def get(self, row_id: str) -> Found | None:
        """What is stored under an id now; None if there is nothing."""
        return await self.start(row_id)

    def start(self, row_id: str) -> PendingLookup[Found]:
        """Starts a lookup that may be awaited later, or never."""
        loop = asyncio.get_running_loop()
        pending: PendingLookup[Found] = loop.create_future()
        self._waiting.setdefault(row_id, []).append(pending)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return pending

    async def _run(self) -> None:
        while self._waiting:
            batch = {row_id: self._waiting.pop(row_id) for row_id in list(self._waiting)[:BATCH_MAX]}
            try:
                found = await self._database.find(self._lookup, self._organisation, list(batch))
            except Exception as error:  # noqa: BLE001 - every caller of the batch gets the error, whatever it is
                for pending in _still_waiting(batch.values()):
                    pending.set_exception(error)
                    pending.exception()  # marks it as seen: nobody may be waiting for this lookup any more
            else:
                for row_id, lookups in batch.items():
                    for pending in _still_waiting([lookups]):
                        pending.set_result(found.get(row_id))


def _still_waiting(lists: Iterable[list[PendingLookup[Found]]]) -> Iterator[PendingLookup[Found]]:
    """The lookups that have not been cancelled meanwhile."""
    return (pending for lookups in lists for pending in lookups if not pending.done())

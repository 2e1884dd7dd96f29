"""Many lookups of one kind share a statement.

A lookup runs at once if none is running. Lookups that arrive meanwhile share the next statement, whatever their organisations are. So a
busy service never has more than one statement of a kind at the database.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import Lookup

Found = TypeVar("Found")
PendingLookup = asyncio.Future[Found | None]
Key = tuple[str | None, str]  # organisation and id
BATCH_MAX = 256  # ids in one statement


class SharedLoader(Generic[Found]):
    """Lookups of one kind, for all organisations, or by ids that tell the organisation."""

    def __init__(self, database: Database, lookup: Lookup[Found]) -> None:
        self._database = database
        self._lookup = lookup
        self._waiting: dict[Key, list[PendingLookup[Found]]] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self, organisation: str | None, row_id: str) -> PendingLookup[Found]:
        """Starts a lookup that may be awaited later, or never."""
        loop = asyncio.get_running_loop()
        pending: PendingLookup[Found] = loop.create_future()
        self._waiting.setdefault((organisation, row_id), []).append(pending)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return pending

    async def _run(self) -> None:
        while self._waiting:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:BATCH_MAX]}
            wanted: dict[str | None, list[str]] = {}
            for organisation, row_id in batch:
                wanted.setdefault(organisation, []).append(row_id)
            try:
                found = await self._database.find_each(self._lookup, wanted)
            except Exception as error:  # noqa: BLE001 - every caller of the batch gets the error, whatever it is
                for pending in _still_waiting(batch.values()):
                    pending.set_exception(error)
                    pending.exception()  # marks it as seen: nobody may be waiting for this lookup any more
            else:
                for (organisation, row_id), lookups in batch.items():
                    for pending in _still_waiting([lookups]):
                        pending.set_result(found[organisation].get(row_id))


class Loader(Generic[Found]):
    """Lookups of one kind for one organisation, or by ids that tell the organisation."""

    def __init__(self, shared: SharedLoader[Found], organisation: str | None) -> None:
        self._shared = shared
        self._organisation = organisation

    async def get(self, row_id: str) -> Found | None:
        """What is stored under an id now; None if there is nothing."""
        return await self.start(row_id)

    def start(self, row_id: str) -> PendingLookup[Found]:
        """Starts a lookup that may be awaited later, or never."""
        return self._shared.start(self._organisation, row_id)


def _still_waiting(lists: Iterable[list[PendingLookup[Found]]]) -> Iterator[PendingLookup[Found]]:
    """The lookups that have not been cancelled meanwhile."""
    return (pending for lookups in lists for pending in lookups if not pending.done())

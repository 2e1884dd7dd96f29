"""Whether a write succeeds now, asked at most once a second however many ask."""

import asyncio

from ipt_workflow.errors import IptError
from ipt_workflow.store.database import Database

FRESH_SECONDS = 1.0


class WriteProbe:
    """Writes to a database, and keeps the outcome for a second."""

    def __init__(self, database: Database, organisation: str) -> None:
        self._database = database
        self._organisation = organisation
        self._began = float("-inf")  # of the loop's time
        self._running: asyncio.Task[IptError | None] | None = None

    async def passed(self) -> None:
        """Raises what the latest probe raised. A caller who goes away does not end a probe, since others may wait for it."""
        now = asyncio.get_running_loop().time()
        if self._running is None or (self._running.done() and now - self._began >= FRESH_SECONDS):
            self._began, self._running = now, asyncio.create_task(self._write())
        error = await asyncio.shield(self._running)
        if error:
            raise error

    async def _write(self) -> IptError | None:
        try:
            await self._database.probe(self._organisation)
        except IptError as error:
            return error
        return None

"""When tokens were last used: kept in memory, and written once a minute for all of them, so that no request waits for it."""

import asyncio
import datetime as dt

from ipt_workflow.service.background import each_minute
from ipt_workflow.store import tokens
from ipt_workflow.store.database import Database


class TokenUses:
    """The uses that wait to be written. `run` writes them while a server runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, dict[str, dt.datetime]] = {}  # by organisation and token

    def note(self, organisation: str, token_id: str, at: dt.datetime) -> None:
        self._waiting.setdefault(organisation, {})[token_id] = at

    async def run(self, stop: asyncio.Event) -> None:
        """Writes what was noted once a minute, and when `stop` is set."""
        await each_minute(self.keep, stop, waits="uses of tokens wait for the database", fails="uses of tokens were not kept")

    async def keep(self) -> None:
        """Writes what was noted. If that fails, it goes on waiting."""
        for organisation in list(self._waiting):
            uses = self._waiting.pop(organisation)
            try:
                await self._database.write(tokens.note_uses, organisation, uses, organisations=(organisation,))
            except BaseException:
                self._waiting[organisation] = uses | self._waiting.get(organisation, {})
                raise

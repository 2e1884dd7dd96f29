"""A database as one organisation sees it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.lookups import DriverRow, Lookup
from ipt_workflow.store.units import LoggedEvent, Unit


class ClinicDatabase(Database):
    """What is read and written through it is one organisation's. It lasts as long as the database behind it."""

    def __init__(self, database: Database, organisation: str) -> None:
        self._database = database
        self._ours = (organisation,)
        self.dialect = database.dialect
        self.records_apart = database.records_apart

    async def read(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        return await self._database.read(function, *args, organisations=organisations or self._ours)

    async def write(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        return await self._database.write(function, *args, organisations=organisations or self._ours)

    async def fetch(self, sql: Mapping[str, str], *args: Any, organisations: Collection[str] = ()) -> Sequence[DriverRow]:
        return await self._database.fetch(sql, *args, organisations=organisations or self._ours)

    async def find(self, lookup: Lookup[Result], organisation: str | None, ids: Sequence[str]) -> dict[str, Result]:
        return await self._database.find(lookup, organisation, ids)

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        return await self._database.put(units, events)

    async def probe(self, organisation: str) -> None:
        await self._database.probe(organisation)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        await self._database.listen(channel, heard)

    async def notify(self, channel: str, text: str) -> None:
        await self._database.notify(channel, text)

"""The interface of a database.

Most of the store is plain functions of a connection; `read` and `write` run one of them in a transaction of its own. Every request
needs `find` and `put`, many at once. These two use the bare driver: the layers above it cost more time than the database itself.

Whoever uses it names the organisations. On PostgreSQL it then sees and writes their rows alone, whatever its statements say. Without
any it sees none, but for the few tables of the whole installation (`store/schema/row_security.py`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from ipt_workflow.store.lookups import DriverRow, Lookup
from ipt_workflow.store.units import LoggedEvent, Unit

Result = TypeVar("Result")
Connection = sa.Connection  # for the rooms above, which may not import SQLAlchemy


class Database:
    """One database, open until `close`."""

    dialect: str
    records_apart: bool  # whether events are put at the same time as units: a unit may wait for a row, and a record never does

    async def read(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        """Runs `function(connection, *args)` on one snapshot of the database."""
        raise NotImplementedError

    async def write(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        """Runs `function(connection, *args)` and commits. Rolls back if the function raises, and raises the same."""
        raise NotImplementedError

    async def find(self, lookup: Lookup[Result], organisation: str | None, ids: Sequence[str]) -> dict[str, Result]:
        """What is stored under these ids, by id. Without an organisation, the lookup is one whose ids tell it."""
        raise NotImplementedError

    async def find_each(
        self, lookup: Lookup[Result], wanted: Mapping[str | None, Sequence[str]]
    ) -> dict[str | None, dict[str, Result]]:
        """What is stored under ids of several organisations, by organisation and id."""
        return {organisation: await self.find(lookup, organisation, ids) for organisation, ids in wanted.items()}

    async def fetch(self, sql: Mapping[str, str], *args: Any, organisations: Collection[str] = ()) -> Sequence[DriverRow]:
        """The rows of a statement that only reads. `sql` holds its text by dialect."""
        raise NotImplementedError

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        """Commits plain units of different courses, and events. Returns for each unit whether it won.

        If one of them cannot be written, writes nothing and raises what the driver raises.
        """
        raise NotImplementedError

    async def probe(self, organisation: str) -> None:
        """Writes something small, durably. Raises what any write would raise now."""
        raise NotImplementedError

    async def require_sessions(self) -> None:
        """Raises DatabaseNotReady if a pooler stands before this database and runs each transaction in another session."""

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Calls `heard` with what is sent to a channel, until it is cancelled. Returns at once if this database cannot tell."""

    async def notify(self, channel: str, text: str) -> None:
        """Sends a text to all who listen to a channel; without effect if this database cannot tell."""

    async def close(self) -> None:
        raise NotImplementedError

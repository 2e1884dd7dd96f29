"""A database: what runs functions on its connections.

The rest of the store is plain functions of a connection. `read` and `write` run one of them in a transaction of its own. `find` and
`put` are what every request needs, many at once: they go to the bare driver, since what the layers above one cost is more than what
the database does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from ipt_workflow.store.lookups import Lookup
from ipt_workflow.store.units import LoggedEvent, Unit

Result = TypeVar("Result")
Connection = sa.Connection  # what queries run on, for the rooms above, which know no SQL


class Database:
    """One database. `close` it when done."""

    dialect: str

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        """Runs `function(connection, *args)` on one snapshot of the database."""
        raise NotImplementedError

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        """Runs `function(connection, *args)` and commits, or rolls back and raises what it raised."""
        raise NotImplementedError

    async def find(self, question: Lookup[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        """What is stored under these ids."""
        raise NotImplementedError

    async def fetch(self, sql: Mapping[str, str], *args: Any) -> Sequence[Any]:
        """The rows of a statement that only reads, in the words of this dialect, as the driver gives them."""
        raise NotImplementedError

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        """Commits plain units of different courses, and events; which of the units won.

        Raises what the driver raises where one of them cannot be written; nothing is written then.
        """
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

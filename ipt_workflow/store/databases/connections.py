"""A pool of connections of the bare driver. Each runs one statement at a time, and stays open for the next.

The driver's own pool creates two tasks for every statement. That costs this process as much time as the statement itself
(`docs/performance.md`).

Each statement is run for a set of organisations, and by preference on a connection that is bound to just this set.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import asyncpg

from ipt_workflow.store.databases.bindings import Bindings

IDLE_SECONDS = 300.0  # after a longer pause, a firewall or proxy may have dropped the connection


class Connections:
    """At most `most` connections, opened by `connect` when they are needed."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], most: int, bindings: Bindings) -> None:
        self._connect = connect
        self._most = most
        self._bindings = bindings
        self._free = asyncio.Semaphore(most)
        self._idle: list[tuple[asyncpg.Connection, float]] = []  # with the time it became idle; the last used comes last

    async def fetch(self, organisations: Collection[str] | None, sql: str, *args: Any) -> Sequence[Any]:
        """Runs a statement for organisations, as a transaction of its own. Raises what the driver raises.

        None is for a statement to which it makes no difference what its connection is bound to.
        """
        async with self._free:
            connection = self._one_idle(organisations) or await self._connect()
            try:
                if organisations is not None:
                    await self._bindings.bind(connection, organisations)
                    assert self._bindings.binds(connection, organisations)  # else an update would miss rows, and say nothing
                rows: Sequence[Any] = await connection.fetch(sql, *args)
            except asyncpg.PostgresError:
                self._keep(connection)  # the server has answered, so the connection can be used again
                raise
            except BaseException:
                connection.terminate()  # close() would wait for the server again
                raise
            self._keep(connection)
            return rows

    def _one_idle(self, organisations: Collection[str] | None) -> asyncpg.Connection | None:
        """The last used of the connections that are bound to this set; else the one that was used longest ago, which is bound again."""
        since = asyncio.get_running_loop().time() - IDLE_SECONDS
        usable = []
        for connection, used in self._idle:
            if used >= since and not connection.is_closed():
                usable.append((connection, used))
            else:
                connection.terminate()
        self._idle = usable
        last_used = reversed(range(len(usable)))
        fits = (index for index in last_used if organisations is None or self._bindings.binds(usable[index][0], organisations))
        return usable.pop(next(fits, 0))[0] if usable else None

    def _keep(self, connection: asyncpg.Connection) -> None:
        if not connection.is_closed():
            self._idle.append((connection, asyncio.get_running_loop().time()))

    def drop(self) -> None:
        """Drops the idle connections without notifying the server."""
        for connection, _ in self._idle:
            connection.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """Waits for running statements, then closes the connections."""
        for _ in range(self._most):
            await self._free.acquire()
        while self._idle:
            connection, _ = self._idle.pop()
            await connection.close()
        for _ in range(self._most):
            self._free.release()

"""A pool of connections of the bare driver. Each runs one statement at a time, and stays open for the next.

The driver's own pool creates two tasks for every statement. That costs this process as much time as the statement itself
(`docs/performance.md`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

IDLE_SECONDS = 300.0  # after a longer pause, a firewall or proxy may have dropped the connection


class Connections:
    """At most `most` connections, opened by `connect` when they are needed."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], most: int) -> None:
        self._connect = connect
        self._most = most
        self._free = asyncio.Semaphore(most)
        self._idle: list[tuple[asyncpg.Connection, float]] = []  # with the time it became idle; the last used comes last

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Runs a statement as a transaction of its own. Raises what the driver raises."""
        async with self._free:
            connection = self._one_idle() or await self._connect()
            try:
                rows: Sequence[Any] = await connection.fetch(sql, *args)
            except asyncpg.PostgresError:
                self._keep(connection)  # the server has answered, so the connection can be used again
                raise
            except BaseException:
                connection.terminate()  # close() would wait for the server again
                raise
            self._keep(connection)
            return rows

    def _one_idle(self) -> asyncpg.Connection | None:
        since = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection, used = self._idle.pop()
            if used >= since and not connection.is_closed():
                return connection
            connection.terminate()
        return None

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

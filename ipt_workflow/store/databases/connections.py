"""Connections of the bare driver: each runs one statement at a time, and stays open for the next.

The driver's own pool makes two tasks for every statement, which takes as long as the statement's own part in this process
(`docs/performance.md`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

IDLE_SECONDS = 300.0  # what has been idle for longer may have been forgotten by whatever lies between


class Connections:
    """At most so many, made by `connect` when they are needed."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], most: int) -> None:
        self._connect = connect
        self._most = most
        self._free = asyncio.Semaphore(most)
        self._idle: list[tuple[asyncpg.Connection, float]] = []  # with the time since when; the last one used comes last

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Runs a statement, which is a transaction of its own. Raises what the driver raises."""
        async with self._free:
            connection = self._one_idle() or await self._connect()
            try:
                rows: Sequence[Any] = await connection.fetch(sql, *args)
            except asyncpg.PostgresError:
                self._keep(connection)  # the server has answered, and is ready for another statement
                raise
            except BaseException:
                connection.terminate()  # closing it would wait for an answer once more
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
        """Ends those that are idle, without a word to the server."""
        for connection, _ in self._idle:
            connection.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """Waits for what is under way, then closes them."""
        for _ in range(self._most):
            await self._free.acquire()
        while self._idle:
            connection, _ = self._idle.pop()
            await connection.close()
        for _ in range(self._most):
            self._free.release()

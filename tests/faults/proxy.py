"""A proxy on a Unix socket between the service and PostgreSQL. It can delay, cut and half-open connections."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Literal, Self

SOCKET = ".s.PGSQL.5432"
Direction = Literal["to_server", "to_client"]


class Connection:
    """One connection through the proxy: two streams, and either can be held."""

    def __init__(self, streams: dict[Direction, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        self.streams = streams
        self.flowing = {direction: asyncio.Event() for direction in streams}
        for event in self.flowing.values():
            event.set()

    def hold(self, *directions: Direction) -> None:
        for direction in directions:
            self.flowing[direction].clear()

    def abort(self) -> None:
        for _, writer in self.streams.values():
            writer.transport.abort()


class Proxy:
    """Listens within a `with` block. A service connects to `url(database)`."""

    def __init__(self, behind: Path) -> None:
        self.behind = behind / SOCKET
        self.folder = Path(tempfile.mkdtemp(prefix="ipt-p-", dir="/tmp"))
        self.delay = 0.0  # the longest delay of what is passed on, in seconds
        self.chance = random.Random(0)
        self._silent = False
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def cut(self) -> int:
        """Aborts every connection, even in the middle of a statement. Returns how many."""
        cut = list(self._open)
        for connection in cut:
            connection.abort()
        return len(cut)

    def half_open(self, direction: Direction) -> int:
        """From now on, existing connections pass nothing in this direction, not even their end. New connections work.

        Connections that were half-opened earlier are cut first, as keepalives would have done by then; a server's connections are limited.
        """
        for connection in [each for each in self._open if not all(event.is_set() for event in each.flowing.values())]:
            connection.abort()
        for connection in self._open:
            connection.hold(direction)
        return len(self._open)

    def fall_silent(self) -> None:
        """No connection passes anything in either direction until `speak`. New connections are accepted and are silent too."""
        self._silent = True
        for connection in self._open:
            connection.hold("to_server", "to_client")

    def speak(self) -> None:
        """Releases everything that was held."""
        self._silent = False
        for connection in self._open:
            for event in connection.flowing.values():
                event.set()

    async def refuse(self) -> None:
        """Refuses new connections until `listen`."""
        if self._server:
            self._server.close()
            (self.folder / SOCKET).unlink(missing_ok=True)
            self._server = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.folder / SOCKET)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind = await asyncio.open_unix_connection(self.behind)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection({"to_server": (reader, behind[1]), "to_client": (behind[0], writer)})
        if self._silent:
            connection.hold("to_server", "to_client")
        self._open.add(connection)
        tasks = [asyncio.create_task(self._pass(connection, direction)) for direction in connection.streams]
        self._tasks.update(tasks)
        try:
            await asyncio.wait(tasks)
        finally:
            connection.abort()
            self._open.discard(connection)
            self._tasks.difference_update(tasks)

    async def _pass(self, connection: Connection, direction: Direction) -> None:
        """Passes on what one side sends, up to and including its end."""
        reader, writer = connection.streams[direction]
        while True:
            try:
                read = await reader.read(65536)
            except OSError:
                read = b""
            if self.delay:
                await asyncio.sleep(self.chance.uniform(0, self.delay))
            await connection.flowing[direction].wait()
            try:
                writer.write(read)
                await writer.drain()
                if not read:
                    writer.close()
                    return
            except OSError:
                return

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.folder, ignore_errors=True)

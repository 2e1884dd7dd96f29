"""The HTTP server: uvicorn's, on connections with bounds, which it watches once a second."""

import asyncio
import sys
import time
from typing import Any

import uvicorn

from ipt_workflow.api.app import Application
from ipt_workflow.api.connections import SPARE_CONNECTIONS, Connection, Limits
from ipt_workflow.runtime.settings import Settings

OWN_FILES = 24  # files that a process has open beside its connections: the database's, the loop's, its own
FEWEST_CONNECTIONS = 4
TICK_SECONDS = 1.0
# A proxy must be the one that closes an idle connection: a request sent while this side closes it would fail. Proxies wait 60 s or less.
IDLE_SECONDS = 75
CLOSE = (b"connection", b"close")


class HttpServer(uvicorn.Server):
    """Serves connections, ends those of clients that take too long, and goes on for some seconds after it was asked to stop.

    Meanwhile the application says that it is not ready, and every answer closes its connection, so that none is left in the end. A second
    Ctrl-C stops it at once.
    """

    def __init__(self, config: uvicorn.Config, application: Application, drain_seconds: float) -> None:
        super().__init__(config)
        self._application = application
        self._drain_seconds = drain_seconds
        self._until: float | None = None
        self._watch: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self._watch = asyncio.create_task(self._watching())

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        if self._until is None:
            self._until = time.monotonic() + self._drain_seconds
            self._application.drain()
            self.config.encoded_headers.append(CLOSE)
            self.server_state.default_headers.append(CLOSE)  # until the next second makes them anew
        return self.force_exit or time.monotonic() >= self._until

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        await super().shutdown(sockets)
        if self._watch:
            self._watch.cancel()

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.tick()


def server(
    application: Application, settings: Settings, host: str, port: int, headers: list[tuple[str, str]] | None = None
) -> HttpServer:
    """The server of an application. It adds `headers` to every answer, even where it answers a broken request itself."""
    limits = Limits(
        connections=connections_max(settings, open_files_max()),
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        answer_seconds=settings.answer_seconds,
    )
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,  # addresses come from the setting `public_url`, never from a request
        date_header=True,
        headers=headers or [],
        http=Connection.within(limits),  # type: ignore[arg-type]  # it is called as the class would be
        ws="none",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=10,
    )
    return HttpServer(config, application, settings.drain_seconds)


def connections_max(settings: Settings, files: int | None) -> int:
    """The most connections of clients: the setting, but no more than the open files that the process may have leave room for."""
    if files is None:
        return settings.connections_max
    reserved = OWN_FILES + 2 * settings.database_connections + settings.delivery_concurrency + SPARE_CONNECTIONS
    return max(FEWEST_CONNECTIONS, min(settings.connections_max, files - reserved))


def open_files_max() -> int | None:
    """How many files the process may have open; None without a limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - Windows has no such module

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft

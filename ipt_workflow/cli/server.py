"""Runs the HTTP server in this process until a signal stops it."""

import sys
import time

import uvicorn

from ipt_workflow.api import sandbox as sandbox_routes
from ipt_workflow.api.app import Application
from ipt_workflow.api.whole_answers import WholeAnswers
from ipt_workflow.runtime import event_loop
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings

# By default a thread waits up to 5 ms for its turn while another computes. A thread that reads SQLite would wait after every row.
TURN_SECONDS = 0.0005
# A proxy must be the one that closes an idle connection: a request sent while this side closes it would fail. Proxies wait 60 s or less.
IDLE_SECONDS = 75
CLOSE = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """A server that goes on for some seconds after it was told to stop.

    Meanwhile the application says that it is not ready, and every answer closes its connection, so that none is left in the end. A second
    Ctrl-C stops it at once.
    """

    def __init__(self, config: uvicorn.Config, application: Application, seconds: float) -> None:
        super().__init__(config)
        self._application = application
        self._seconds = seconds
        self._until: float | None = None

    async def on_tick(self, counter: int) -> bool:
        if not await super().on_tick(counter):
            return False
        if self._until is None:
            self._until = time.monotonic() + self._seconds
            self._application.drain()
            self.config.encoded_headers.append(CLOSE)
            self.server_state.default_headers.append(CLOSE)  # until the next second makes them anew
        return self.force_exit or time.monotonic() >= self._until


def serve(settings: Settings, host: str, port: int, *, sandbox: bool = False) -> None:
    """Opens the service and serves it. Raises IptError if the service cannot open."""
    application = Application(settings, sandbox=sandbox)
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
        headers=[sandbox_routes.HEADER] if sandbox else [],  # the server adds them even where it answers a broken request itself
        http=WholeAnswers,
        ws="none",
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=10,
    )
    with event_loop.runner() as runner:
        runner.run(application.open())
        collect_seldom()
        sys.setswitchinterval(TURN_SECONDS)
        runner.run(DrainingServer(config, application, settings.drain_seconds).serve())

"""The application behind a socket, for clients that nobody here wrote."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ipt_workflow.api.app import Application
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings


@contextmanager
def served(settings: Settings, clock: Clock | None = None) -> Iterator[str]:
    """The URL of a service on a port of its own, in a thread of the test."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Application(settings, clock), log_config=None, ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()

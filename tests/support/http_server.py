"""The application behind a socket, for clients that nobody here wrote."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ipt_workflow.api.app import Application
from ipt_workflow.api.server import server
from ipt_workflow.runtime import event_loop
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import open_clinic
from support.http_client import OPERATOR


@contextmanager
def served(settings: Settings, clock: Clock | None = None, application: Callable[..., Application] = Application) -> Iterator[str]:
    """The URL of a service on a port of its own, in a thread of the test."""
    listening = socket.create_server(("127.0.0.1", 0))
    running = server(application(settings, clock), settings, "127.0.0.1", 0)

    def run() -> None:
        with event_loop.runner() as runner:
            runner.run(running.serve(sockets=[listening]))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


def token(settings: Settings, role: str, person: str = "") -> str:
    """A new token, made before the service starts."""

    async def create() -> str:
        clinic = await open_clinic(settings)
        try:
            made = await Tokens(clinic).create(OPERATOR, NewToken(role=role, name=role, subject=person or f"{role}-1"))  # type: ignore[arg-type]
            return made.token
        finally:
            await clinic.installation.close()

    return asyncio.run(create())

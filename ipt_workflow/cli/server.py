"""Runs the HTTP server in this process until a signal stops it."""

import sys

from ipt_workflow.api import sandbox as sandbox_routes
from ipt_workflow.api.server import server
from ipt_workflow.runtime import event_loop
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.web.app import application as pages_and_api

# By default a thread waits up to 5 ms for its turn while another computes. A thread that reads SQLite would wait after every row.
TURN_SECONDS = 0.0005


def serve(settings: Settings, host: str, port: int, *, sandbox: bool = False) -> None:
    """Opens the service and serves it. Raises IptError if the service cannot open."""
    application = pages_and_api(settings, sandbox=sandbox)
    http = server(application, settings, host, port, [sandbox_routes.HEADER] if sandbox else [])
    with event_loop.runner() as runner:
        runner.run(application.open())
        collect_seldom()
        sys.setswitchinterval(TURN_SECONDS)
        runner.run(http.serve())

"""The load generator's own ceiling: answers a second from a server that does nothing."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.processes import free_port, module, started, wait_for

SECONDS = 1.5


def measured(clients: Sequence[int], log: Path) -> dict[int, float]:
    port = free_port()
    with started([sys.executable, "-m", "bench.load", "--echo", str(port)], log) as process:
        wait_for(port, "/", process, log)
        return {each: _reached(port, each) for each in clients}


def _reached(port: int, clients: int) -> float:
    requests = {"paths": ["/{course}"], "body": {"trigger": "note"}, "headers": {}, "courses": 1000, "keyed": True}
    job = {"targets": [port], "clients": clients, "requests": requests, "seconds": SECONDS, "warm_up": 0.2}
    reached: float = module("load", job)["per_second"]
    return reached

"""Processes that the bench starts, and ends by their id, even if it is interrupted."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds
ROOT = Path(__file__).resolve().parent.parent


class BenchFailed(Exception):
    """Something could not be measured. The message says what and why."""


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the duration of the block. Its output goes to `log`. It has its own session, so Ctrl-C reaches only the bench."""
    with log.open("ab") as printed:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env={**os.environ, **(environ or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to stop, then kills it, together with its children."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for stop, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if process.poll() is None:
            process.send_signal(stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    for child in psutil.wait_procs(children, timeout=1)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def wait_for(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once the path answers with 2xx. Raises BenchFailed if the process ends before that or takes too long."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", path)
            status = connection.getresponse().status
            connection.close()
            if 200 <= status < 300:
                return
        time.sleep(0.01)
    printed = log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
    raise BenchFailed(f"{Path(str(process.args[0])).name} did not start: {printed[-1][:500]}")  # type: ignore[index]


def resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def run(command: Sequence[str | Path], environ: Mapping[str, str] | None = None, stdin: str | None = None, cwd: Path = ROOT) -> str:
    """Runs a command to its end and returns its output. Raises BenchFailed if it fails. It is killed with the bench."""
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
        cwd=cwd,
        check=False,
    )
    if done.returncode:
        printed = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise BenchFailed(f"{Path(str(command[0])).name} {' '.join(map(str, command[1:4]))} failed: {printed[-1][:500]}")
    return done.stdout


def module(name: str, job: Any = None, *arguments: str) -> Any:
    """Runs a module of the bench in a process of its own: JSON in, JSON out."""
    answer = run([sys.executable, "-m", f"bench.{name}", *arguments], stdin=json.dumps(job))
    return json.loads(answer)

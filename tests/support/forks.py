"""`ipt-workflow` in processes of its own, each forked from one that has loaded it.

Loading takes a second of work, and most commands of a test take less. A fork has settings, streams, signals and an exit code of its own,
as a process that Python starts. `cli/test_cli.py` starts the console script itself.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Self

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ipt_workflow.cli.main", "ipt_workflow.api.app", "alembic.command", "uvicorn"])
ONE_AT_A_TIME = threading.Lock()  # who asks for an exit code takes it away from others who ask


def command_line(*arguments: str) -> None:
    """The console script."""
    from ipt_workflow.cli.main import app
    from ipt_workflow.runtime.garbage import collect_seldom

    collect_seldom()
    app(prog_name="ipt-workflow", args=list(arguments))


class Fork:
    """A running process, used as `subprocess.Popen` is.

    Without a file for it, `stdout` is a pipe of text. `stderr` is the caller's, unless there is a file for it.
    """

    def __init__(
        self,
        *arguments: Any,
        env: Mapping[str, str] = os.environ,
        program: Callable[..., None] = command_line,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        reader, writer = os.pipe() if stdout is None else (None, stdout.fileno())
        self.stdout = None if reader is None else os.fdopen(reader, encoding="utf-8")
        streams = [_sent(writer), _sent(2 if stderr is None else stderr.fileno())]
        self._process = CONTEXT.Process(target=_run, args=(program, arguments, dict(env), streams), daemon=True)
        with ONE_AT_A_TIME:
            self._process.start()
        for stream in streams:
            stream.close()
        if reader is not None:
            os.close(writer)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        if not wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        if self.stdout:
            self.stdout.close()

    def __exit__(self, *_: object) -> None:
        self.close()
        self.wait()


def run(
    *arguments: Any, env: Mapping[str, str], program: Callable[..., None] = command_line, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs to the end, and returns what was printed."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        with Fork(*arguments, env=env, program=program, stdout=stdout, stderr=stderr) as process:
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())


def _sent(number: int) -> Connection:
    """A duplicate of a file's number, which can be sent to another process."""
    return Connection(os.dup(number))


def _run(program: Callable[..., None], arguments: tuple[Any, ...], env: dict[str, str], streams: list[Connection]) -> None:
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream.fileno(), number)
        stream.close()
    os.environ.clear()
    os.environ.update(env)
    try:
        program(*arguments)
    finally:
        sys.stdout.flush()

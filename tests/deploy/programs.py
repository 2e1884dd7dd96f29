"""Programs of the operating system that the examples under `deploy/` are for, run with those examples on ports of the test's own."""

import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.tls import Authority

DEPLOY = Path(__file__).parents[2] / "deploy"
START_SECONDS = 30


def program(name: str) -> str:
    """Where a program is. Without it the test is left out, unless IPT_TEST_COMPLETE forbids that."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and not os.environ.get("IPT_TEST_COMPLETE"):
        pytest.skip(f"{name} is not on this machine")
    assert found, f"{name} is not on this machine, and IPT_TEST_COMPLETE forbids leaving the test out"
    return found


def example(name: str, replaced: Mapping[str, str]) -> str:
    """An example, with what differs here in the place of what is written there. Each must be written there."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, f"{name} does not say {old}"
        text = text.replace(old, new)
    return text


class Certificate:
    """A certificate of this machine, its key, and the authority's. HAProxy wants certificate and key in one file."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.root = authority.root
        self.certificate, self.key = authority.issue("clinic", "clinic.example", "127.0.0.1")
        self.both = folder / "both.pem"
        self.both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root))


@contextmanager
def running(command: list[str], is_up: Callable[[], bool], log: Path, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process, from the moment at which it is up until the end of the block."""
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, **how)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{command[0]} ended: {said}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer: {said}"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(url: str, tls: ssl.SSLContext) -> bool:
    """Whether a GET of the URL is answered with 200."""
    try:
        return httpx.get(url, verify=tls).status_code == 200
    except httpx.TransportError:
        return False

"""Programs of the operating system that the examples under `deploy/` are for, run with those examples on ports of the test's own."""

import datetime as dt
import ipaddress
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
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


class Certificate(msgspec.Struct, frozen=True):
    """A certificate of this machine that signs itself, and its key. HAProxy wants both in one file."""

    certificate: Path
    key: Path
    both: Path

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


def certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clinic.example")])
    names = [x509.DNSName("clinic.example"), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    made = Certificate(folder / "certificate.pem", folder / "key.pem", folder / "both.pem")
    for path, content in ((made.certificate, pem), (made.key, secret), (made.both, pem + secret)):
        path.write_bytes(content)
    return made


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

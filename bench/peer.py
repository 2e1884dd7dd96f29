"""The peers. Each is installed into its own environment, gets its own database, and is served as its documentation recommends."""

import contextlib
import hashlib
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import HOST, ROOT, free_port, run, started, wait_for

HERE = Path(__file__).parent / "peers"
INSTALLED = ROOT / "var" / "bench" / "environments"
WORKERS = 2  # `sync` workers were slower than `gthread`
THREADS = 16  # fewer were slower
BODY = {"trigger": "note", "data": {"text": "The client rang to say that they will be ten minutes late today."}}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A peer. `serve` is the command line of its server, within its environment."""

    name: str
    folder: str
    scheme: str  # of its Authorization header
    serve: tuple[str, ...]


DJANGO = Peer(
    name="Django + DRF + django-viewflow",
    folder="django_viewflow",
    scheme="Token",
    serve=(
        "gunicorn", "wsgi:application", "--bind", "{host}:{port}", "--workers", str(WORKERS), "--worker-class", "gthread", "--threads",  str(THREADS),
        "--keep-alive", "30", "--log-level", "warning",
    ),
)  # fmt: skip
FASTAPI = Peer(
    name="FastAPI + SQLModel + transitions",
    folder="fastapi_sqlmodel",
    scheme="Bearer",
    serve=("uvicorn", "app:app", "--host", "{host}", "--port", "{port}", "--workers", str(WORKERS), "--no-access-log", "--log-level", "warning"),
)  # fmt: skip


@dataclass(frozen=True)
class Serving:
    port: int
    requests: dict[str, Any]


def installed(peer: Peer) -> Path:
    """The folder of the environment's commands. The environment is made once for each state of the locked requirements."""
    locked = HERE / peer.folder / "requirements.txt"
    made_of = hashlib.sha256(locked.read_bytes() + sys.version.encode()).hexdigest()[:12]
    environment = INSTALLED / f"{peer.folder}-{made_of}"
    if not (environment / "whole").exists():
        run([sys.executable, "-m", "venv", "--clear", environment])
        pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", locked])
        (environment / "whole").touch()
    return environment / "bin"


@contextlib.contextmanager
def serving(peer: Peer, place: Mapping[str, str], courses: int, log: Path) -> Iterator[Serving]:
    """Serves a peer over an empty database, filled with this number of courses."""
    binaries, folder = installed(peer), HERE / peer.folder
    environ = {
        "PEER_SECRET": secrets.token_hex(32),
        "PEER_SOCKET": place["host"],
        "PEER_USER": place["user"],
        "PEER_DATABASE": place["dbname"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    token = run([binaries / "python", "seed.py", str(courses)], environ, cwd=folder)
    port = free_port()
    command, *arguments = [part.format(host=HOST, port=port) for part in peer.serve]
    with started([binaries / command, *arguments], log, environ, folder) as process:
        wait_for(port, "/health", process, log)
        headers = {"Authorization": f"{peer.scheme} {token}"}
        yield Serving(port, {"paths": ["/courses/{course}/transitions"], "body": BODY, "headers": headers, "courses": courses})

"""The service as its users run it: the command line, and `ipt-workflow serve` over HTTP."""

import contextlib
import http.client
import json
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.copies import COURSE_ID
from bench.postgres import ROLES, USER, Postgres
from bench.processes import HOST, BenchFailed, free_port, run, started, wait_for

COMMAND = Path(sys.executable).parent / "ipt-workflow"
TREELESS = (sys.executable, "-m", "bench.treeless")
THERAPIST = "therapist-1"  # of the demonstration
WHOLE = 20  # the least version of the demonstration's course to copy: in its middle phase
BEGUN = 3  # the least version of the other course to copy: just started
NOTE = {"trigger": "note", "data": {"text": "The client rang to say that they will be ten minutes late today."}}


@dataclass(frozen=True)
class Served:
    """A process of the service."""

    port: int
    pid: int


def cli(url: str, *arguments: str, **settings: str) -> str:
    return run([COMMAND, *arguments], {**environ(url), **settings})


def environ(url: str) -> dict[str, str]:
    return {"IPT_DATABASE_URL": url}


def migrated(postgres: Postgres, database: str) -> str:
    """Makes the tables of a database and the roles beside their owner. Returns its URL for the role of the service."""
    cli(postgres.url(database, USER), "db", "upgrade", "--roles", ROLES)
    return postgres.url(database)


def demonstration(url: str) -> dict[str, str]:
    """Fills a database with the demonstration, and returns a token for every role."""
    tokens: dict[str, str] = json.loads(cli(url, "demo", "--json"))["tokens"]
    return tokens


@contextlib.contextmanager
def serving(
    url: str,
    log: Path,
    processes: int = 1,
    settings: Mapping[str, str] | None = None,
    command: Sequence[str | Path] = (COMMAND,),
) -> Iterator[list[Served]]:
    """Processes of the service over one database, each on its own port, all ready. `settings` differ from the default ones."""
    with contextlib.ExitStack() as stack:
        served = []
        for _ in range(processes):
            port = free_port()
            arguments = [*command, "serve", "--host", HOST, "--port", str(port)]
            process = stack.enter_context(started(arguments, log, {**environ(url), **(settings or {})}))
            wait_for(port, "/health/ready", process, log)
            served.append(Served(port, process.pid))
        yield served


def notes(token: str, courses: int, *others: str) -> dict[str, Any]:
    """The load generator's requests: a note on one of the copied courses, by the bearer of this token or of `others`."""
    path = f"/v1/courses/{COURSE_ID}/transitions"
    tokens = {"tokens": [token, *others]} if others else {}
    headers = {} if others else {"Authorization": f"Bearer {token}"}
    return {"paths": [path], "body": NOTE, "headers": headers, "courses": courses, "keyed": True, **tokens}


def fire(port: int, token: str, course: str, body: Any) -> dict[str, Any]:
    """Fires once and returns the entry. Raises BenchFailed if it is refused."""
    answer = ask(port, "POST", f"/v1/courses/{course}/transitions", token, body)
    entry: dict[str, Any] = answer["entry"]
    return entry


def ask(port: int, method: str, path: str, token: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise BenchFailed(f"{method} {path} was answered with {answer.status}: {text.decode(errors='replace')[:500]}")
    return json.loads(text) if text else None


def targets(served: Sequence[Served]) -> list[int]:
    return [each.port for each in served]

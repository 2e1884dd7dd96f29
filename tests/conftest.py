"""What every test may use: settings for a database of its own, an open service, and a client over HTTP."""

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import databases
import httpx
import pytest
import structlog

from ipt_workflow.access.principal import Principal
from ipt_workflow.api.app import Application
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.checks import KnownRules
from ipt_workflow.protocols.files import Catalogue
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.tokens import Accounts, NewToken

collect_seldom()  # as the service does
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process that a test starts compiles the package anew

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
OPERATOR = Principal(person="operator", role="admin", via="cli")
ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
LONG = (
    "faults/",
    "gate/",
    "machine/test_stateful.py",
    "ehr/test_kill.py",
    "store/test_concurrency.py",
    "fhir/test_fhir_validators.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no worker is left alone with it."""
    items.sort(key=lambda item: not str(item.path.relative_to(Path(__file__).parent)).startswith(LONG))


def pytest_collection_finish() -> None:
    collect_seldom()


@pytest.fixture(autouse=True)
def _logs_are_quiet() -> Iterator[None]:
    """A test that sets logging up writes to a stream of its own, which nobody may write to after it. All others write nothing."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture(autouse=True, scope="session")
def _same_files_are_checked_once() -> Iterator[None]:
    """Checking the protocols takes half of what opening takes. Folders of the same files make the same catalogue."""
    read, known = protocol_files.load_catalogue, {}

    def load(protocols: Any, instruments: Path, rules: KnownRules) -> Catalogue:
        if not isinstance(protocols, Path):
            return read(protocols, instruments, rules)
        files = tuple(
            (file.name, file.read_bytes()) for folder in (protocols, instruments) for file in sorted(folder.glob("*.toml"))
        )
        if files not in known:
            known[files] = read(protocols, instruments, rules)
        return known[files]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol_files, "load_catalogue", load)
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A migrated SQLite database of the test's own."""
    return databases.empty(tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server on which tests make databases of their own."""
    with databases.postgres_server() as url:
        yield url


@pytest.fixture(scope="session", params=("sqlite", "postgresql"))
def server(request: pytest.FixtureRequest) -> str | None:
    """Runs a test on both databases: a PostgreSQL server, or None for SQLite."""
    return request.getfixturevalue("postgres") if request.param == "postgresql" else None


@pytest.fixture
def database_url(server: str | None, tmp_path: Path) -> str:
    """A migrated database of the test's own: each test runs on both."""
    return databases.empty(tmp_path, server).database_url


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


class Api:
    """A client of the running application that knows a token for every role, and the course it works on."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str], application: Application) -> None:
        self.client = client
        self.tokens = tokens
        self.application = application
        self.shell = application.litestar.state.shell

    def headers(self, role: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}", **{name.replace("_", "-"): value for name, value in more.items()}}

    async def get(self, path: str, role: str = "therapist", **more: str) -> httpx.Response:
        return await self.client.get(path, headers=self.headers(role, **more))

    async def post(self, path: str, body: Any = None, role: str = "therapist", **more: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=self.headers(role, **more))

    async def open(self, ref: str = "EHR-1", **more: Any) -> dict[str, Any]:
        """A new course of therapist-1."""
        body = {
            "client_ref": ref,
            "protocol": "ipt",
            "data": {"source": "General practitioner", "indication": "depression"},
            **more,
        }
        answer = await self.post("/v1/courses", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["course"]

    async def fire(self, course: str, trigger: str, data: Any = None, role: str = "therapist", **more: Any) -> httpx.Response:
        """Fires on the present version."""
        version = (await self.version(course)) if "version" not in more else more.pop("version")
        return await self.post(
            f"/v1/courses/{course}/transitions", {"trigger": trigger, "data": data or {}, **more}, role, If_Match=f'"{version}"'
        )

    async def version(self, course: str) -> int:
        return (await self.get(f"/v1/courses/{course}", "supervisor")).json()["version"]

    async def options(self, course: str, role: str = "therapist") -> dict[str, Any]:
        found = (await self.get(f"/v1/courses/{course}/options", role)).json()
        return {item["trigger"]: item for item in found["items"]}

    async def example(self, course: str, trigger: str, role: str = "therapist") -> httpx.Response:
        """Fires the example that options offers."""
        body = (await self.options(course, role))[trigger]["example"]
        return await self.post(f"/v1/courses/{course}/transitions", body, role, If_Match=f'"{await self.version(course)}"')

    async def walk(self, course: str, *triggers: str) -> None:
        for trigger in triggers:
            answer = await self.example(course, trigger)
            assert answer.status_code == 201, (trigger, answer.text)


@asynccontextmanager
async def running(settings: Settings, clock: VirtualClock | None = None) -> AsyncIterator[Api]:
    application = Application(settings, clock)
    async with application.litestar.lifespan():
        accounts: Accounts = application.litestar.state.accounts
        tokens = {
            role: (await accounts.create(OPERATOR, NewToken(role=role, name=role, subject=f"{role}-1"))).token for role in ROLES
        }  # type: ignore[arg-type]
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ipt") as client:
            yield Api(client, tokens, application)


@pytest.fixture
def api(settings: Settings) -> Iterator[Callable[..., Any]]:
    """Runs a coroutine function with an `Api`: `api(async_test)`."""

    def run(test: Callable[[Api], Any], clock: VirtualClock | None = None) -> Any:
        async def inside() -> Any:
            async with running(settings, clock) as open_api:
                return await test(open_api)

        return asyncio.run(inside())

    return run

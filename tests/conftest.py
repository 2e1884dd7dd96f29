"""What every test may use: settings for a database of its own, an open service, and a client over HTTP."""

import asyncio
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from litestar import Litestar
from litestar.datastructures import State
from support import databases
from support.http_client import START, Api, running

from ipt_workflow.api import app as api_app
from ipt_workflow.ehr.notices import types as notice_types
from ipt_workflow.ehr.notices.types import NoticeTypes
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.checks import KnownRules
from ipt_workflow.protocols.files import Catalogue
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.web import app as web_app

collect_seldom()  # as the service does
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process that a test starts compiles the package anew

EXTENT = os.environ.get("IPT_TEST_EXTENT", "sample")  # of large matrices: `sample`, `rest` or `whole`
NUMBERS = itertools.count()
LONG = (
    "deploy/",
    "faults/",
    "gate/",
    "machine/test_stateful.py",
    "ehr/deliveries/test_kill.py",
    "store/test_concurrency.py",
    "store/test_relations.py",
    "store/test_two_organisations.py",
    "web/test_oidc_in_chromium.py",
    "web/test_passkeys_in_chromium.py",
    "web/audit/test_auditors_day.py",
    "web/course/test_whole_course.py",
    "web/groups/test_whole_group.py",
    "web/supervision/test_supervisors_day.py",
    "web/test_links.py",
    "web/test_walks.py",
    "ehr/fhir/test_validators.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of large matrices a sample is run, or the rest of it, or all. What takes long comes first, so that no worker is left alone with it."""
    in_matrices = dict(_in_matrices(items))
    left_out = [item for item, sampled in in_matrices.items() if ("sample", "rest")[sampled] == EXTENT]
    if EXTENT == "rest":
        left_out += [item for item in items if item not in in_matrices]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        unwanted = set(left_out)
        items[:] = [item for item in items if item not in unwanted]
    items.sort(key=lambda item: not item.nodeid.removeprefix("tests/").startswith(LONG))


def _in_matrices(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, bool]]:
    """Every test that may be left out, and whether it belongs to the sample.

    `@pytest.mark.matrix(n)` samples every n-th test of a function, `@pytest.mark.rest` none. Of the tests that run on both databases,
    those outside `store` and `faults` are sampled on PostgreSQL: every fifth of a file.
    """
    counts: Counter[str] = Counter()
    for item in items:
        marker = item.get_closest_marker("matrix")
        if marker:
            function = item.nodeid.partition("[")[0]
            yield item, counts[function] % marker.args[0] == 0
            counts[function] += 1
        elif item.get_closest_marker("rest"):
            yield item, False
        elif _on_postgresql(item):
            counts[str(item.path)] += 1
            yield item, counts[str(item.path)] % 5 == 1


def _on_postgresql(item: pytest.Item) -> bool:
    """Whether the test is the second of one that runs on both databases, above the store."""
    chosen = item.callspec.params.get("server") if hasattr(item, "callspec") else None
    return chosen == "postgresql" and not item.nodeid.startswith(("tests/store/", "tests/faults/"))


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
def _routes_are_made_once() -> Iterator[None]:
    """Registering the routes takes most of what an application takes to be made. One that has stopped is started again for the next test."""
    make, make_pages = api_app.litestar_app, web_app.routers
    idle: defaultdict[tuple[Any, ...], list[Litestar]] = defaultdict(list)

    def reused(settings: Settings, lifespan: Any = None, *, sandbox: bool = False, pages: tuple[Any, ...] = ()) -> Litestar:
        if lifespan is None:
            return make(settings, sandbox=sandbox)
        made_of = (settings.public_schema, settings.public_url, settings.body_bytes_max, settings.notice_bytes_max, sandbox, pages)

        @asynccontextmanager
        async def from_its_state(app: Litestar) -> AsyncIterator[None]:
            async with app.state.lifespan(app):
                yield
            idle[made_of].append(app)

        if idle[made_of]:
            app = idle[made_of].pop()
        else:
            app = make(settings, from_its_state, sandbox=sandbox, pages=make_pages(settings) if pages else ())
        app.state = State({"settings": settings, "lifespan": lifespan})
        return app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_app, "litestar_app", reused)
        patch.setattr(web_app, "routers", lambda settings: (settings.secret_keys,))  # what tells pages apart, until they are made
        yield


class _Compiled(dict[tuple[Any, ...], Any]):
    """Statements as SQLAlchemy compiled them, for whichever engine of a dialect asks: its own caches end with their engine."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), compiled)


@pytest.fixture(autouse=True, scope="session")
def _statements_are_compiled_once() -> Iterator[None]:
    """Every test opens a database. Compiling its statements took a third of what the test took."""
    compiled = _Compiled()

    def share(connection: sa.Connection) -> None:
        connection.execution_options(compiled_cache=compiled)

    sa.event.listen(sa.Engine, "engine_connect", share)
    yield
    sa.event.remove(sa.Engine, "engine_connect", share)


def _contents(folder: Path) -> list[tuple[str, bytes]]:
    """The names and contents of the files in a folder. A file is read again when its size or time has changed."""
    with os.scandir(folder) as found:
        files = sorted((each.name, each.path, each.stat()) for each in found if each.name.endswith(".toml"))
    return [(name, _content(path, stat.st_size, stat.st_mtime_ns)) for name, path, stat in files]


@cache
def _content(path: str, *_: int) -> bytes:
    return Path(path).read_bytes()


@pytest.fixture(autouse=True, scope="session")
def _same_files_are_checked_once() -> Iterator[None]:
    """Checking the protocols takes half of what opening takes. Folders of the same files make the same catalogue."""
    read, known = protocol_files.load_catalogue, {}
    read_types, known_types = notice_types.load, {}

    def load_types(path: Path, instruments: dict[str, Instrument]) -> NoticeTypes:
        key = (path.read_bytes() if path.is_file() else path, tuple(instruments))
        if key not in known_types:
            known_types[key] = read_types(path, instruments)
        return known_types[key]

    def load(protocols: Any, instruments: Path, rules: KnownRules) -> Catalogue:
        if not isinstance(protocols, Path):
            return read(protocols, instruments, rules)
        files = tuple(each for folder in (protocols, instruments) for each in _contents(folder))
        if files not in known:
            known[files] = read(protocols, instruments, rules)
        return known[files]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol_files, "load_catalogue", load)
        patch.setattr(notice_types, "load", load_types)
        yield


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own. To number it, pytest's own would look through the folders of all tests before."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return tmp_path_factory.mktemp(f"{name}-{next(NUMBERS)}", numbered=False)


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


@pytest.fixture
def api(settings: Settings) -> Iterator[Callable[..., Any]]:
    """Runs a coroutine function with an `Api`: `api(async_test)`."""

    def run(test: Callable[[Api], Any], clock: VirtualClock | None = None) -> Any:
        async def inside() -> Any:
            async with running(settings, clock) as open_api:
                return await test(open_api)

        return asyncio.run(inside())

    return run

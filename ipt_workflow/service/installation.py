"""The parts that a process has once, for all organisations: database, committer, settings, protocol files, clock and metrics."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.course import triggers
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.errors import DatabaseNotReady, LongRequestsFull, Unreachable
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.files import Catalogue
from ipt_workflow.runtime.clock import Clock, SystemClock
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.runtime.settings import Settings, listed
from ipt_workflow.service.access.sign_in_limits import SignInLimits
from ipt_workflow.service.access.token_uses import TokenUses
from ipt_workflow.service.background import one_round
from ipt_workflow.service.probe import WriteProbe
from ipt_workflow.service.protocols.proofs import Proofs
from ipt_workflow.store import lookups
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.loader import Found, Loader, SharedLoader
from ipt_workflow.store.lookups import Lookup
from ipt_workflow.store.schema import revision
from ipt_workflow.store.verification_rounds import RoundView

READY_SECONDS = 5.0
UNANSWERED = "The database does not answer. Check that it runs and that IPT_DATABASE_URL is right."


class LongRequests:
    """The exports and verifications of a process: at most `most` run at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Counts one while it runs. Raises LongRequestsFull."""
        if self.running >= self.most:
            raise LongRequestsFull
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class Installation:
    """The open parts that the clinics of a process share. Call `close` when done."""

    def __init__(
        self, database: Database, catalogue: Catalogue, settings: Settings, clock: Clock, keys: KeyRing | None = None
    ) -> None:
        self.database = database
        self.keys = keys or key_ring(settings)
        self.committer = Committer(
            database,
            queue_max=settings.commit_queue_max,
            batch_max=settings.commit_batch_max,
            patience=settings.commit_patience_seconds,
        )
        self.catalogue = catalogue
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics()
        self.token_uses = TokenUses(database)
        self.sign_in_limits = SignInLimits()
        self._loaders: dict[Lookup[Any], SharedLoader[Any]] = {}
        self.tokens = self.loader(None, lookups.TOKENS)
        self.sessions = self.loader(None, lookups.SESSIONS)
        self.long_requests = LongRequests(settings.long_requests_max)
        self.rounds: dict[str, RoundView] = {}  # how far the verifier in the background is, by organisation
        self._tasks: set[asyncio.Task[None]] = set()
        self.proofs = Proofs()
        self._probe = WriteProbe(database, settings.organisation)
        self.trigger_names = frozenset(name for protocol in catalogue.protocols.values() for name in triggers.names(protocol))

    def loader(self, organisation: str | None, lookup: Lookup[Found]) -> Loader[Found]:
        """Lookups of an organisation, which share their statements with those of the others."""
        if lookup not in self._loaders:
            self._loaders[lookup] = SharedLoader(self.database, lookup)
        return Loader(self._loaders[lookup], organisation)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins work that goes on beside the requests, until it is done or the installation closes. Its error is logged."""
        task = asyncio.ensure_future(one_round(work, waits="work waits for the database", fails="work failed"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stops the work beside the requests, commits the waiting writes, then closes the database."""
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.committer.close()
        await self.database.close()

    async def ready(self) -> None:
        """Raises DatabaseNotReady or Busy unless a write succeeds, on a database of this version's revision or a later one.

        A later one is that of the next version, which is about to replace this process (decision 28).
        """
        await self._require(lambda found: found >= revision.HEAD)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._probe.passed()
        except TimeoutError:
            raise Unreachable(UNANSWERED) from None

    async def require_revision(self) -> None:
        """Raises DatabaseNotReady unless the database answers and has just the revision that this version needs."""
        await self._require(lambda found: found == revision.HEAD)

    async def _require(self, fits: Callable[[str], bool]) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                found = await self.database.read(revision.current)
        except TimeoutError:
            raise Unreachable(UNANSWERED) from None
        if found is not None and fits(found):
            return
        needs = f"The database is at revision {found or 'none'}, this version needs {revision.HEAD}: "
        newer = found is not None and found > revision.HEAD
        raise DatabaseNotReady(needs + ("install a newer version." if newer else "run `ipt-workflow db upgrade`."))


def install(settings: Settings, clock: Clock | None = None) -> Installation:
    """Reads the files under `config/` and connects to the database. Raises ProtocolInvalid."""
    catalogue = protocol_files.load_catalogue(settings.protocols, settings.instruments, KNOWN_RULES)
    keys = key_ring(settings)
    database = open_database(
        settings.database_url,
        statement_seconds=settings.statement_seconds,
        connections=settings.database_connections,
        keys=keys,
    )
    return Installation(database, catalogue, settings, clock or SystemClock(), keys)


def key_ring(settings: Settings) -> KeyRing:
    """The keys of clients' texts, as the settings have them opened and made."""
    return KeyRing(listed(settings.secret_keys), opens=not settings.client_keys)

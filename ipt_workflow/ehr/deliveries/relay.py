"""The relay: fans out events, and delivers them.

Each subscription receives the events of a course in order, one at a time, at least once, and always with the same id. The relay
leases a delivery, sends it, and records the result. It holds no lock while it sends. If it is killed in between, another relay sends
the delivery again after the lease has ended. Any number of relays share a PostgreSQL database; a SQLite database has one, beside its
service.
"""

import asyncio
import datetime as dt
import random
from collections.abc import Callable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import events, fan_out, timers
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.secrets import SecretBox
from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import Settings, listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import deliveries, subscriptions
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.commits import single
from ipt_workflow.store.database import Connection
from ipt_workflow.store.deliveries import AttemptResult, ClaimedDelivery
from ipt_workflow.store.events import NewEvent, StoredEvent
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription
from ipt_workflow.store.units import LoggedEvent

GONE = 410
THROTTLED = frozenset({429, 502, 504})
JITTER = 0.1  # lengthens a wait by up to a tenth
LEASE_ATTEMPTS = 1.5  # the length of a lease, in timeouts of one attempt
PRUNE_SECONDS = 3600.0


class DeliveryJob(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery's subscription, keys and event. `subscription` is None if it was deleted."""

    subscription: StoredSubscription | None
    keys: tuple[StoredKey, ...]
    event: StoredEvent


class RetryPolicy:
    """The back-off after failed attempts. `chance` returns numbers from 0 to 1."""

    def __init__(self, settings: Settings, chance: Callable[[], float] = random.random) -> None:
        self._seconds = tuple(float(each) for each in listed(settings.delivery_retry_seconds))
        self._chance = chance

    def after(self, attempts: int, retry_after: dt.timedelta | None) -> dt.timedelta | None:
        """The wait after N attempts, and at least the receiver's `Retry-After`; None after the last attempt."""
        if attempts > len(self._seconds):
            return None
        wait = dt.timedelta(seconds=self._seconds[attempts - 1] * (1 + JITTER * self._chance()))
        return max(wait, retry_after or wait)

    @property
    def first(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._seconds[0])


class Relay:
    """Delivers a clinic's events until it is stopped."""

    def __init__(self, clinic: Clinic, sender: DeliverySender | None = None, retries: RetryPolicy | None = None) -> None:
        self.clinic = clinic
        self._settings = clinic.settings
        self._sender = sender or DeliverySender(reach_of(clinic.settings), clinic.settings.delivery_timeout_seconds)
        self._retries = retries or RetryPolicy(clinic.settings)
        self._secrets = SecretBox(listed(clinic.settings.secret_keys))
        self._running: set[asyncio.Task[None]] = set()
        self._scan_at = self._prune_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Then it finishes the deliveries that it is sending."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._round()
                except (Busy, DatabaseNotReady) as error:
                    logs.logger().warning("relay waits for the database", error_type=type(error).__name__)
                except Exception as error:  # noqa: BLE001 - the relay must outlive an error in one round
                    logs.logger().error("relay round failed", exc_info=error)
                await asyncio.wait(
                    {stopping, *self._running}, timeout=self._settings.relay_poll_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                self._collect()
        finally:
            stopping.cancel()
            if self._running:
                await asyncio.wait(self._running)
                self._collect()
            await self._sender.close()

    async def drain(self) -> int:
        """Delivers everything that is due, and returns the number of attempts. For `relay --once` and for tests with a fixed clock."""
        attempts = 0
        await timers.scan(self.clinic)
        while True:
            await fan_out.fan_out_all(self.clinic)
            started = await self._start()
            if not started and not self._running:
                return attempts
            attempts += started
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            self._collect()

    async def close(self) -> None:
        await self._sender.close()

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._scan_at:
            self._scan_at = now + self._settings.attention_scan_seconds
            await timers.scan(self.clinic)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            await self._prune()
        await fan_out.fan_out_all(self.clinic)
        await self._start()

    async def _prune(self) -> None:
        """Removes old deliveries, and the expired answers of idempotency keys."""
        now = self.clinic.clock.now()
        await self.clinic.write(deliveries.prune, now - dt.timedelta(days=self._settings.delivery_days))
        await self.clinic.write(single.forget_answers, now)

    def _collect(self) -> None:
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            if not task.cancelled() and (error := task.exception()):
                logs.logger().error("delivery failed here", exc_info=error)

    async def _start(self) -> int:
        """Claims as many deliveries as it has room for, and starts to send them. Returns how many."""
        now, room = self.clinic.clock.now(), self._settings.delivery_concurrency - len(self._running)
        if room <= 0 or not await self.clinic.read(deliveries.any_due, now):
            return 0
        claimed = await self.clinic.write(
            deliveries.claim,
            now=now,
            lease_until=now + dt.timedelta(seconds=self._settings.delivery_timeout_seconds * LEASE_ATTEMPTS + 1),
            lease_id=new_id(),
            max_total=room,
            max_per_subscription=self._settings.delivery_concurrency_each,
        )
        self._running |= {asyncio.create_task(self._deliver(each)) for each in claimed}
        return len(claimed)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        job = await self.clinic.read(self._job, claimed)
        known, now = job.subscription, self.clinic.clock.now()
        if known is None or known.status != "active":
            await self._end(claimed, job, AttemptResult(status="waiting", at=now, next_at=now, attempted=False))
            return
        event = events.render(job.event, known.types, known.scope) if job.event.shared else None
        if event is None:
            await self._end(claimed, job, AttemptResult(status="withheld", at=now, attempted=False))
            return
        body = msgspec.json.encode(event)
        signer = signatures.Signer([signatures.read_key(self._secrets.open(key.secret)) for key in job.keys])
        real = self.clinic.clock.real()  # the receiver verifies by its own clock
        signed = signer.headers(events.webhook_id(job.event.id), int(real.timestamp()), body)
        headers = {"content-type": "application/json", "user-agent": "ipt-workflow", **signed}
        sent = await self._sender.send(known.url, headers, body, real)
        await self._end(claimed, job, self._result(claimed, sent), self._disable_reason(known, sent))

    def _job(self, connection: Connection, organisation: str, claimed: ClaimedDelivery) -> DeliveryJob:
        return DeliveryJob(
            subscription=subscriptions.find(connection, organisation, claimed.subscription),
            keys=tuple(subscriptions.keys(connection, organisation, claimed.subscription, self.clinic.clock.now())),
            event=stored_events.at(connection, organisation, [claimed.position])[claimed.position],
        )

    def _result(self, claimed: ClaimedDelivery, sent: SendResult) -> AttemptResult:
        now = self.clinic.clock.now()
        if sent.delivered:
            return AttemptResult(status="delivered", at=now, http_status=sent.status)
        failed = AttemptResult(status="waiting", at=now, http_status=sent.status, problem=sent.problem, next_at=now)
        if sent.status == GONE:
            return failed
        wait = self._retries.after(claimed.attempts + 1, sent.retry_after)
        if wait is None:
            return msgspec.structs.replace(failed, status="dead", next_at=None)
        throttled = now + (sent.retry_after or self._retries.first) if sent.status in THROTTLED else None
        return msgspec.structs.replace(failed, next_at=now + wait, throttled_until=throttled)

    def _disable_reason(self, known: StoredSubscription, sent: SendResult) -> str | None:
        """Why to disable the subscription: `gone`, `failing`, or None to keep it active."""
        if sent.status == GONE:
            return "gone"
        if sent.delivered or known.failing_since is None:
            return None
        longest = dt.timedelta(hours=self._settings.delivery_disable_hours)
        return "failing" if self.clinic.clock.now() - known.failing_since >= longest else None

    async def _end(
        self, claimed: ClaimedDelivery, job: DeliveryJob, result: AttemptResult, disable_reason: str | None = None
    ) -> None:
        if await self.clinic.write(self._write_end, claimed, job, result, disable_reason):
            self._log(claimed, result, disable_reason)

    def _write_end(
        self,
        connection: Connection,
        organisation: str,
        claimed: ClaimedDelivery,
        job: DeliveryJob,
        result: AttemptResult,
        disable_reason: str | None,
    ) -> bool:
        """Writes the result of an attempt, and disables the subscription if there is a reason. Returns False if the lease was lost."""
        records = []
        if result.status != "waiting":
            courses = (claimed.lane,) if claimed.lane else ()
            records.append(self._record(claimed, "delivery", f"{result.status} {events.webhook_id(job.event.id)}", courses))
        if not deliveries.end_attempt(connection, organisation, claimed, result, records):
            return False
        if disable_reason and subscriptions.disable(connection, organisation, claimed.subscription, disable_reason):
            event = NewEvent(
                id=new_id(), kind="disabled", subscription=claimed.subscription, detail=disable_reason, created_at=result.at
            )
            stored_events.publish(connection, organisation, event)
            deliveries.record(connection, self._record(claimed, "config", f"disabled: {disable_reason}"))
        return True

    def _log(self, claimed: ClaimedDelivery, result: AttemptResult, disable_reason: str | None) -> None:
        outcome = "failed" if result.status == "waiting" and result.attempted else result.status
        self.clinic.metrics.attempts.labels(outcome).inc()
        logs.logger().info(
            "delivery",
            outcome=outcome,
            kind=result.problem,
            subscription=claimed.subscription,
            attempt=claimed.attempts + result.attempted,
            status=result.http_status,
        )
        if disable_reason:
            logs.logger().warning("subscription disabled", subscription=claimed.subscription, kind=disable_reason)

    def _record(self, claimed: ClaimedDelivery, kind: str, action: str, courses: tuple[str, ...] = ()) -> LoggedEvent:
        """An audit record whose actor is the subscriber, because a delivery discloses a course to it."""
        subscriber = Principal(person=f"subscription:{claimed.subscription}", role="ehr", via="ehr")
        return self.clinic.event(subscriber, kind, action, courses)

"""The relay: what happened becomes events, and events are delivered.

In order for each course and subscription, one at a time; at least once, always with the same id. A delivery is leased, sent, and
written down as ended: three steps, and no lock is held while it is sent. Killed in between, it is sent again when the lease has run
out. Any number of relays share a PostgreSQL database; a SQLite database has the one beside its service.
"""

import asyncio
import datetime as dt
import random
from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from ipt_workflow.ehr import signing
from ipt_workflow.ehr.deliveries import events, fan_out, timers
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.secrets import SecretBox
from ipt_workflow.errors import Busy, DatabaseNotReady
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import Settings, listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import deliveries, subscriptions
from ipt_workflow.store import events as stored
from ipt_workflow.store.commits import single
from ipt_workflow.store.deliveries import Claimed, Ended
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription
from ipt_workflow.store.units import LoggedEvent as AuditEvent

GONE = 410
THROTTLED = frozenset({429, 502, 504})
JITTER = 0.1  # a wait is lengthened by up to this part of itself
LEASE = 1.5  # attempts: how long a delivery is leased for
PRUNE_SECONDS = 3600.0


class DeliveryJob(msgspec.Struct, frozen=True, kw_only=True):
    """What sending a delivery needs."""

    subscription: StoredSubscription | None
    keys: tuple[StoredKey, ...]
    told: StoredEvent


class RetryPolicy:
    """When a delivery that failed is tried again. `chance` gives numbers from 0 to 1."""

    def __init__(self, settings: Settings, chance: Callable[[], float] = random.random) -> None:
        self._waits = tuple(float(each) for each in listed(settings.delivery_retry_seconds))
        self._chance = chance

    def after(self, attempts: int, asked: dt.timedelta | None) -> dt.timedelta | None:
        """The wait after so many attempts, never shorter than the receiver asked for; None where it is given up."""
        if attempts > len(self._waits):
            return None
        wait = dt.timedelta(seconds=self._waits[attempts - 1] * (1 + JITTER * self._chance()))
        return max(wait, asked or wait)

    @property
    def first(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._waits[0])


class Relay:
    """Delivers, until it is told to stop."""

    def __init__(self, clinic: Clinic, sender: DeliverySender | None = None, waits: RetryPolicy | None = None) -> None:
        self.clinic = clinic
        self._settings = clinic.settings
        self._sender = sender or DeliverySender(reach_of(clinic.settings), clinic.settings.delivery_timeout_seconds)
        self._waits = waits or RetryPolicy(clinic.settings)
        self._safe = SecretBox(listed(clinic.settings.secret_keys))
        self._running: set[asyncio.Task[None]] = set()
        self._scan_at = self._prune_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set; what is being sent then is sent to its end."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._round()
                except (Busy, DatabaseNotReady) as error:
                    logs.logger().warning("relay waits for the database", error_type=type(error).__name__)
                except Exception as error:  # noqa: BLE001 - a relay outlives whatever one round meets
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
        """Does all that can be done now, and returns how many attempts that were. For rehearsals, where time stands still."""
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
        """Removes what is kept for a while only: deliveries that ended, and the answers of idempotency keys."""
        organisation, now = self.clinic.organisation, self.clinic.clock.now()
        before = now - dt.timedelta(days=self._settings.delivery_days)
        await self.clinic.database.write(deliveries.prune, organisation, before)
        await self.clinic.database.write(single.forget_answers, organisation, now)

    def _collect(self) -> None:
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            if not task.cancelled() and (error := task.exception()):
                logs.logger().error("delivery failed here", exc_info=error)

    async def _start(self) -> int:
        """Claims as much as there is room for, and starts sending it."""
        now, room = self.clinic.clock.now(), self._settings.delivery_concurrency - len(self._running)
        if room <= 0 or not await self.clinic.read(deliveries.any_due, now):
            return 0
        until = now + dt.timedelta(seconds=self._settings.delivery_timeout_seconds * LEASE + 1)
        claimed = await self.clinic.database.write(
            lambda c: deliveries.claim(
                c,
                self.clinic.organisation,
                now=now,
                until=until,
                lease=new_id(),
                limit=room,
                each=self._settings.delivery_concurrency_each,
            )
        )
        self._running |= {asyncio.create_task(self._deliver(each)) for each in claimed}
        return len(claimed)

    async def _deliver(self, claimed: Claimed) -> None:
        job = await self.clinic.database.read(self._job, claimed)
        known = job.subscription
        if known is None or known.status != "active":
            await self._end(
                claimed, job, Ended(status="waiting", at=self.clinic.clock.now(), next_at=self.clinic.clock.now(), attempted=False)
            )
            return
        event = events.render(job.told, known.types, known.scope) if job.told.shared else None
        if event is None:
            await self._end(claimed, job, Ended(status="withheld", at=self.clinic.clock.now(), attempted=False))
            return
        body = msgspec.json.encode(event)
        signer = signing.Signer([signing.read_key(self._safe.open(key.secret)) for key in job.keys])
        now = self.clinic.clock.now()
        headers = signer.headers(events.webhook_id(job.told.id), int(now.timestamp()), body)
        sent = {"content-type": "application/json", "user-agent": "ipt-workflow", **headers}
        outcome = await self._sender.send(known.url, sent, body, now)
        await self._end(claimed, job, self._ended(claimed, outcome), self._reason(known, outcome))

    def _job(self, connection: sa.Connection, claimed: Claimed) -> DeliveryJob:
        organisation = self.clinic.organisation
        return DeliveryJob(
            subscription=subscriptions.one(connection, organisation, claimed.subscription),
            keys=tuple(subscriptions.keys(connection, organisation, claimed.subscription, self.clinic.clock.now())),
            told=stored.at(connection, organisation, [claimed.position])[claimed.position],
        )

    def _ended(self, claimed: Claimed, outcome: SendResult) -> Ended:
        now = self.clinic.clock.now()
        if outcome.delivered:
            return Ended(status="delivered", at=now, http_status=outcome.status)
        failed = Ended(status="waiting", at=now, http_status=outcome.status, problem=outcome.problem, next_at=now)
        if outcome.status == GONE:
            return failed
        wait = self._waits.after(claimed.attempts + 1, outcome.retry_after)
        if wait is None:
            return msgspec.structs.replace(failed, status="dead", next_at=None)
        throttled = now + (outcome.retry_after or self._waits.first) if outcome.status in THROTTLED else None
        return msgspec.structs.replace(failed, next_at=now + wait, throttled_until=throttled)

    def _reason(self, known: StoredSubscription, outcome: SendResult) -> str | None:
        """Why the subscription is to be disabled, if it is."""
        if outcome.status == GONE:
            return "gone"
        if outcome.delivered or known.failing_since is None:
            return None
        long = dt.timedelta(hours=self._settings.delivery_disable_hours)
        return "failing" if self.clinic.clock.now() - known.failing_since >= long else None

    async def _end(self, claimed: Claimed, job: DeliveryJob, ended: Ended, reason: str | None = None) -> None:
        def write(connection: sa.Connection) -> bool:
            organisation = self.clinic.organisation
            final = ended.status != "waiting"
            told = (claimed.lane,) if claimed.lane else ()
            record = self._record(claimed, "delivery", f"{ended.status} {events.webhook_id(job.told.id)}", told)
            if not deliveries.end(connection, organisation, claimed, ended, [record] if final else []):
                return False
            if reason and subscriptions.disable(connection, organisation, claimed.subscription, reason):
                row = {"id": new_id(), "kind": "disabled", "subscription_id": claimed.subscription, "detail": reason}
                stored.put(connection, organisation, {**row, "created_at": ended.at})
                deliveries.record(connection, self._record(claimed, "config", f"disabled: {reason}"))
            return True

        if await self.clinic.database.write(write):
            self._note(claimed, ended, reason)

    def _note(self, claimed: Claimed, ended: Ended, reason: str | None) -> None:
        outcome = "failed" if ended.status == "waiting" and ended.attempted else ended.status
        self.clinic.metrics.attempts.labels(outcome).inc()
        told = {"subscription": claimed.subscription, "attempt": claimed.attempts + ended.attempted, "status": ended.http_status}
        logs.logger().info("delivery", outcome=outcome, kind=ended.problem, **told)
        if reason:
            logs.logger().warning("subscription disabled", subscription=claimed.subscription, kind=reason)

    def _record(self, claimed: Claimed, kind: str, action: str, courses: tuple[str, ...] = ()) -> AuditEvent:
        """An audit record whose actor is who is told: what is delivered is disclosed to them."""
        row = {
            "organisation": self.clinic.organisation,
            "id": new_id(),
            "kind": kind,
            "recorded_at": self.clinic.clock.now(),
            "person": f"subscription:{claimed.subscription}",
            "role": "ehr",
            "via": "ehr",
            "action": action,
            "rules": None,
            "request_id": None,
            "command": None,
        }
        return AuditEvent(row=row, courses=courses)

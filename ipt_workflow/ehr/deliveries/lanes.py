"""Sends claimed deliveries: each lane in order, one at a time; many lanes at once.

A lane goes on with its next delivery as soon as the receiver has accepted the one before. It stops after a failure, at the end of
its claim's time, or if the course or the subscription has changed since they were read. What it did not send it gives back.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Relation
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import events
from ipt_workflow.ehr.deliveries.bodies import CHECKPOINT
from ipt_workflow.ehr.deliveries.retries import GONE, THROTTLED, RetryPolicy
from ipt_workflow.ehr.deliveries.rounds import DisabledSubscription, RoundOutcome
from ipt_workflow.ehr.deliveries.sender import DeliverySender
from ipt_workflow.ehr.signatures import Signer
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import lookups, subscriptions
from ipt_workflow.store.attempts import AttemptResult, EndedAttempt
from ipt_workflow.store.claims import ClaimedDelivery, course_of
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription
from ipt_workflow.store.units import LoggedEvent

CLAIM_SECONDS = 1.0  # a claim is used to begin attempts for so long
ROUND_SECONDS = 5.0  # a round that claims may take so long; the lease covers this, the claim and one attempt
FRESH_SECONDS = 0.05  # what was read longer ago is compared with the database before it is sent


Bodies = dict[tuple[int, str, str], bytes | None]  # by position, type and scope


class DeliveryJob(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed delivery with all that is needed to send it. `bodies` are those of its round: each is rendered once for all receivers.

    `checkpoint` is the newest of the log: who receives deliveries can tell whether the log is rewritten.
    """

    claimed: ClaimedDelivery
    subscription: StoredSubscription
    keys: tuple[StoredKey, ...]
    event: StoredEvent
    bodies: Bodies
    checkpoint: str | None

    def body(self) -> bytes | None:
        """The event as the subscription receives it; None if it is withheld."""
        event, known = self.event, self.subscription
        name = events.type_for(event.kind, event.trigger, known.types, known.scope)
        if name is None or not events.may_go_out(event, known.purpose):
            return None
        form = (event.position, name, known.scope)
        if form not in self.bodies:
            rendered = events.rendered(event, name, known.scope)
            self.bodies[form] = msgspec.json.encode(rendered) if rendered else None
        return self.bodies[form]


class Lanes:
    """The lanes that this relay sends, and what has ended in them and is not written yet."""

    def __init__(self, clinic: Clinic, sender: DeliverySender, retries: RetryPolicy) -> None:
        self.clinic = clinic
        self.progress = asyncio.Event()  # set when something has ended
        self.ended: list[EndedAttempt] = []
        self.released: list[ClaimedDelivery] = []
        self.disabled: list[DisabledSubscription] = []
        self.attempts = 0
        self.stopping = False
        self._sender = sender
        self._retries = retries
        self._secrets = SecretBox(listed(clinic.settings.secret_keys))
        self._signers: dict[tuple[StoredKey, ...], Signer] = {}
        self._standings = clinic.installation.loader(clinic.organisation, lookups.STANDINGS)
        self._terms = clinic.installation.loader(clinic.organisation, subscriptions.TERMS)
        self._all = asyncio.Semaphore(clinic.settings.delivery_concurrency)
        self._each: dict[str, asyncio.Semaphore] = {}
        self._held: dict[str, float] = {}  # when a subscription asked for a pause, or was to be disabled: earlier claims end
        self._running: set[asyncio.Task[None]] = set()
        self.busy: Counter[str] = Counter()  # lanes under way, by subscription

    def __bool__(self) -> bool:
        """Whether anything is under way, or has ended and is not written yet."""
        return bool(self._running or self.ended or self.released or self.disabled)

    def take(self) -> dict[str, Any]:
        """What has ended, for a round to write."""
        taken = {"ended": self.ended, "released": self.released, "disabled": self.disabled}
        self.ended, self.released, self.disabled = [], [], []
        self.progress.clear()
        return taken

    def start(self, outcome: RoundOutcome, claimed_at: float) -> None:
        """Begins to send what a round has just claimed. The round began at `claimed_at`, in the loop's time.

        The claim counts from the end of the round, since the database may be slow.
        """
        bodies: Bodies = {}
        read_at = asyncio.get_running_loop().time()
        ends_at = min(read_at, claimed_at + ROUND_SECONDS) + CLAIM_SECONDS
        for claimed in outcome.lanes:
            subscription_id = claimed[0].subscription
            known, keys = outcome.subscriptions[subscription_id], outcome.keys.get(subscription_id, ())
            lane = [
                DeliveryJob(
                    claimed=each,
                    subscription=known,
                    keys=keys,
                    event=outcome.events[each.position],
                    bodies=bodies,
                    checkpoint=outcome.checkpoint,
                )
                for each in claimed
            ]
            self.busy[subscription_id] += 1
            task = asyncio.create_task(self._run(lane, claimed_at, ends_at, read_at))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        """Forgets a lane, and logs its error: what it was sending is sent again after its lease."""
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logs.logger().error("delivery failed here", exc_info=error)

    async def wait(self) -> None:
        """Waits until every lane has ended."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, lane: Sequence[DeliveryJob], claimed_at: float, ends_at: float, read_at: float) -> None:
        subscription_id = lane[0].claimed.subscription
        each = self._each.get(subscription_id)
        if each is None:
            each = self._each[subscription_id] = asyncio.Semaphore(self.clinic.settings.delivery_concurrency_each)
        left, clock = list(lane), asyncio.get_running_loop().time
        try:
            async with each, self._all:
                while left and not self.stopping and claimed_at > self._held.get(subscription_id, 0):
                    now = clock()
                    if now > ends_at:
                        break
                    if now - read_at > FRESH_SECONDS:
                        if not await self._unchanged(left[0]):
                            break
                        read_at = now
                    if not await self._send(left.pop(0)):
                        break
        finally:
            self.busy[subscription_id] -= 1
            self.released += [job.claimed for job in left]
            self.progress.set()

    async def _unchanged(self, job: DeliveryJob) -> bool:
        """Whether the course and the subscription are as they were when the job was made.

        Meanwhile a consent may have been withdrawn, processing restricted, or secondary use objected to.
        """
        course = course_of(job.claimed.lane)
        standing = self._standings.start(course) if course else None
        terms = await self._terms.get(job.subscription.id)
        return terms == subscriptions.terms_of(job.subscription) and (
            standing is None or await standing == job.event.sharing.standing
        )

    async def _send(self, job: DeliveryJob) -> bool:
        """Makes one attempt. Returns whether the lane may go on."""
        clock, claimed, known = self.clinic.clock, job.claimed, job.subscription
        body = job.body()
        if body is None:
            self._end(job, AttemptResult(status="withheld", at=clock.now(), attempted=False))
            return True
        real = clock.real()  # the receiver verifies by its own clock
        signed = self._signer(job.keys).headers(events.webhook_id(job.event.id), int(real.timestamp()), body)
        headers = {"content-type": "application/json", "user-agent": "ipt-workflow", **signed}
        if job.checkpoint:
            headers[CHECKPOINT] = job.checkpoint
        self.attempts += 1
        sent = await self._sender.send(known.url, headers, body, real)
        now = clock.now()
        reason = self._retries.disable_reason(known, sent, now)
        if reason:
            record = self._record(job, "config", f"disabled: {reason}")
            self.disabled.append(DisabledSubscription(id=known.id, reason=reason, at=now, record=record))
        if reason or (sent.status in THROTTLED | {GONE} and known.status == "active"):
            self._held[known.id] = asyncio.get_running_loop().time()
        result = self._retries.result(known, claimed.attempts, sent, now)
        self._end(job, result)
        return result.status != "waiting"

    def _signer(self, keys: tuple[StoredKey, ...]) -> Signer:
        """Keys are read once, until they change."""
        if keys not in self._signers:
            self._signers[keys] = Signer([signatures.read_key(self._secrets.open(key.secret)) for key in keys])
        return self._signers[keys]

    def _end(self, job: DeliveryJob, result: AttemptResult) -> None:
        record = None
        if result.status != "waiting":
            record = self._record(job, "delivery", f"{result.status} {events.webhook_id(job.event.id)}")
        self.ended.append(EndedAttempt(claimed=job.claimed, result=result, record=record))
        self.progress.set()

    def _record(self, job: DeliveryJob, kind: str, action: str) -> LoggedEvent:
        """An audit record whose actor is the subscriber, because a delivery discloses a course to it, for its purpose."""
        subscriber = Principal(person=f"subscription:{job.subscription.id}", role="ehr", via="ehr")
        course = course_of(job.claimed.lane) if kind == "delivery" else None
        return self.clinic.event(
            subscriber, kind, action, (course,) if course else (), why=Relation("system", job.subscription.purpose)
        )

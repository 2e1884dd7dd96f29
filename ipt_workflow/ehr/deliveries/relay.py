"""The relay: fans out events, and delivers them.

Each subscription receives the events of a course in order, one at a time, at least once, and always with the same id. The relay
leases deliveries, sends them, and records the results. It holds no lock while it sends. If it is killed in between, another relay sends
what was not recorded again, in the same order, after the lease has ended. Any number of relays share a PostgreSQL database; a SQLite
database has one, beside its service.

A relay works in rounds (`rounds`): each writes what has ended, and claims what is due. A commit in its process wakes it; on PostgreSQL,
so does a commit of any process. It also looks by itself now and then, in case it was not woken.
"""

import asyncio
import datetime as dt
from collections import Counter
from typing import Any

from ipt_workflow.ehr.deliveries import rounds, timers, wakes
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.lanes import CLAIM_SECONDS, ROUND_SECONDS, Lanes
from ipt_workflow.ehr.deliveries.retries import RetryPolicy
from ipt_workflow.ehr.deliveries.rounds import DisabledSubscription, RoundOutcome, RoundPlan
from ipt_workflow.ehr.deliveries.sender import DeliverySender
from ipt_workflow.runtime import logs
from ipt_workflow.service.background import one_round
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import deliveries
from ipt_workflow.store.attempts import EndedAttempt
from ipt_workflow.store.commits import single
from ipt_workflow.store.committer import Attempts

LEASE_ATTEMPTS = 1.5  # the length of a lease, in timeouts of one attempt, beside the time in which attempts may begin
AHEAD = 2  # lanes claimed ahead, for each that ended since the last round: so the senders need not wait for a round
AHEAD_MAX = 100  # of one subscription
LANES_MAX = 200  # claimed in all
END_SECONDS = 0.02  # for so long what has ended waits for a commit that needs a round as well
PRUNE_SECONDS = 3600.0
SELDOM = 5  # times as long as others, a relay without subscribers waits until it looks by itself


class Relay:
    """Delivers a clinic's events until it is stopped."""

    def __init__(self, clinic: Clinic, sender: DeliverySender | None = None, retries: RetryPolicy | None = None) -> None:
        self.clinic = clinic
        self._settings = clinic.settings
        self._sender = sender or DeliverySender(reach_of(clinic.settings), clinic.settings.delivery_timeout_seconds)
        self._lanes = Lanes(clinic, self._sender, retries or RetryPolicy(clinic.settings))
        self._wake = asyncio.Event()
        self._subscribers = 1  # at the last round
        self._full = False  # whether the last round claimed as much as it might
        self._took = 0.0  # seconds of the last rounds
        self._scan_at = self._prune_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Then it finishes the attempts that it has begun."""
        stopping = asyncio.create_task(stop.wait())
        try:
            with wakes.listening(self.clinic, self._hear):
                while not stop.is_set():
                    await self._turn()
                    await self._pause(stopping)
        finally:
            stopping.cancel()
            self._lanes.stopping = True
            await self._lanes.wait()
            await self._guarded(self._round(claims=False))
            await self._sender.close()

    async def drain(self) -> int:
        """Delivers everything that is due, and returns the number of attempts. For `relay --once` and for tests with a fixed clock."""
        before = self._lanes.attempts
        await timers.scan(self.clinic)
        while True:
            outcome = await self._round()
            if not outcome.lanes and not outcome.more and not self._lanes:
                return self._lanes.attempts - before
            if self._lanes and not outcome.more:
                await self._lanes.progress.wait()

    async def close(self) -> None:
        await self._sender.close()

    def _hear(self) -> None:
        """A commit. Without subscribers nothing is urgent: events are numbered many at once when the relay looks by itself.

        So the events of many organisations cost about as much as those of one. Who reads them before that numbers them first.
        """
        if self._subscribers:
            self._wake.set()

    async def _pause(self, stopping: "asyncio.Task[Any]") -> None:
        """Waits for a commit, for something that ended, or until it is time to look.

        Unless more is due already, it first rests for as long as the last rounds took: so that in a busy process rounds grow larger, and
        leave half of the time to requests. What has ended waits a little for a commit, to share its round.
        """
        if not self._full:
            await _first(stopping, seconds=self._took)
        seconds = self._settings.relay_poll_seconds * (1 if self._subscribers else SELDOM)
        await _first(stopping, self._wake, self._lanes.progress, seconds=seconds)
        if self._lanes.progress.is_set() and not self._full:
            await _first(stopping, self._wake, seconds=END_SECONDS)

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._scan_at:
            self._scan_at = now + self._settings.attention_scan_seconds
            await self._guarded(timers.scan(self.clinic))
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_SECONDS
            await self._guarded(self._prune())
        await self._guarded(self._look())

    async def _look(self) -> None:
        """Rounds, as long as they find more events, if there is anything to do."""
        woken = self._wake.is_set() or self._lanes.progress.is_set()
        self._wake.clear()
        if not woken and not await self.clinic.read(rounds.anything, self.clinic.clock.now()):
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        while (await self._round()).more:
            if not self._subscribers:
                await asyncio.sleep(clock() - began)  # nothing is urgent: half of the time is the requests'
                began = clock()
        self._took = clock() - began

    async def _guarded(self, work: Any) -> None:
        await one_round(work, waits="relay waits for the database", fails="relay round failed")

    async def _prune(self) -> None:
        """Removes old deliveries, and the expired answers of idempotency keys."""
        now = self.clinic.clock.now()
        await self.clinic.write(deliveries.prune, now - dt.timedelta(days=self._settings.delivery_days))
        await self.clinic.write(single.forget_answers, now)

    async def _round(self, *, claims: bool = True) -> RoundOutcome:
        """Writes what has ended, claims what is due, and begins to send it.

        If the database is away, it tries for a while. What could not be written then is sent again after its lease.
        """
        began, taken = asyncio.get_running_loop().time(), self._lanes.take()
        plan = self._plan(taken, claims=claims)
        attempts = Attempts(self._settings.commit_patience_seconds)
        outcome: RoundOutcome = await attempts.run(self.clinic.write, rounds.run, plan, self._subscribers)
        self._subscribers, self._full = len(outcome.subscriptions), outcome.full
        self._lanes.start(outcome, began)
        self._log(outcome.written, outcome.disabled)
        return outcome

    def _plan(self, taken: dict[str, Any], *, claims: bool) -> RoundPlan:
        """A plan that claims as many lanes as can be sent at once, and more of subscriptions that answer quickly."""
        now, busy = self.clinic.clock.now(), self._lanes.busy
        ended = Counter(each.claimed.subscription for each in taken["ended"])
        each, room = self._settings.delivery_concurrency_each, self._settings.delivery_concurrency
        ahead = {subscription_id: min(AHEAD * count, AHEAD_MAX) for subscription_id, count in ended.items()}
        lease = self._settings.delivery_timeout_seconds * LEASE_ATTEMPTS + ROUND_SECONDS + CLAIM_SECONDS
        return RoundPlan(
            now=now,
            lease_until=now + dt.timedelta(seconds=lease),
            lanes_max=min(room + sum(ahead.values()), LANES_MAX) - busy.total() if claims else 0,
            lanes_of=lambda subscription_id: each + ahead.get(subscription_id, 0) - busy[subscription_id],
            **taken,
        )

    def _log(self, written: list[EndedAttempt], disabled: list[DisabledSubscription]) -> None:
        for each in written:
            claimed, result = each.claimed, each.result
            outcome = "failed" if result.status == "waiting" else result.status
            self.clinic.metrics.attempts.labels(outcome).inc()
            logs.logger().info(
                "delivery",
                outcome=outcome,
                kind=result.problem,
                subscription=claimed.subscription,
                attempt=claimed.attempts + result.attempted,
                status=result.http_status,
            )
        for subscription in disabled:
            logs.logger().warning("subscription disabled", subscription=subscription.id, kind=subscription.reason)


async def _first(stopping: "asyncio.Task[Any]", *signals: asyncio.Event, seconds: float) -> None:
    """Waits for the first of these, at most so many seconds."""
    waits = [asyncio.ensure_future(each.wait()) for each in signals]
    try:
        await asyncio.wait({stopping, *waits}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()

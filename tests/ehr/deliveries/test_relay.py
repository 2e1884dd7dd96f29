"""Deliveries, on both databases, to the product's own receiver: in order, tried again until accepted, never lost."""

import asyncio
import datetime as dt

import msgspec
import pytest
import sqlalchemy as sa
import standardwebhooks
from support import service_walk
from support.receivers import other_side

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, Replay, Rotation, SubscriptionChange
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.retries import RetryPolicy
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.errors import CommandInvalid, NotFound, TransitionRefused
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import deliveries, subscriptions
from ipt_workflow.store.schema import tables

ADMIN = Principal(person="admin-1", role="admin", via="api")
STEPS = ("record_consent", "start", "record_session", "sign_session")
NOTE = Command("note", {"text": "She called."})


def scene(url: str, test, **environ):
    """Runs `test(world)` on a database, with time standing still and a receiver beside it."""
    environ = {"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true", "IPT_DELIVERY_TIMEOUT_SECONDS": "5", **environ}
    settings, clock = configuration.load(environ), VirtualClock(service_walk.START)

    async def inside():
        async with service_walk.opened(settings, clock) as clinic, other_side(clock) as other:
            world = World(clinic, clock, other)
            try:
                return await test(world)
            finally:
                await world.relay.close()

    return asyncio.run(inside())


class World:
    def __init__(self, clinic, clock, other):
        self.clinic, self.clock, self.other = clinic, clock, other
        self.subscribed = 0
        self.subscriptions, self.deliveries = Subscriptions(clinic), Deliveries(clinic)
        self.relay = Relay(clinic, retries=RetryPolicy(clinic.settings, lambda: 0.0))

    async def subscribe(self, **more):
        self.subscribed += 1
        url = f"{self.other.url}?{self.subscribed}"
        shown = await self.subscriptions.create(ADMIN, lambda: NewSubscription(**{"url": url, **more}))
        if shown.secret:
            self.other.trusts(shown.secret)
        return shown.subscription.id

    async def course(self, ref="EHR-1"):
        course = await service_walk.open_course(self.clinic, ref)
        await service_walk.walk(self.clinic, course, *STEPS)
        return course

    async def pass_time(self, **by):
        self.clock.advance(dt.timedelta(**by))
        return await self.relay.drain()

    async def states(self, subscription):
        found = await self.deliveries.page(ADMIN, subscription, status=None, after=0, limit=1000)
        return [(each.status, each.attempts) for each in found]


def test_every_transition_arrives_once_in_order_with_the_head_of_its_chain(database_url):
    async def test(world):
        subscription = await world.subscribe()
        first, second = await world.course("EHR-1"), await world.course("EHR-2")
        await world.relay.drain()
        assert world.other.outcomes() == ["received"] * 10
        for course in (first, second):
            assert world.other.sequences(course) == [1, 2, 3, 4, 5]
            entries = await world.clinic.entries(course)
            bodies = [each.data for each in world.other.receipts if each.course == course]
            assert [each["head"] for each in bodies] == [entry.hash for entry in entries]
            assert all(set(each) == {"course", "sequence", "head", "entry", "origin"} for each in bodies)
        assert [each.type for each in world.other.receipts] == ["course.changed"] * 10
        assert await world.states(subscription) == [("delivered", 1)] * 10
        assert await world.relay.drain() == 0

    scene(database_url, test)


def test_what_was_before_the_subscription_is_not_for_it(database_url):
    async def test(world):
        course = await world.course()
        await world.subscribe()
        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()
        assert world.other.sequences(course) == [6]

    scene(database_url, test)


def test_a_course_waits_for_its_first_delivery_and_others_go_on(database_url):
    async def test(world):
        await world.subscribe()
        first = await world.course("EHR-1")
        world.other.trouble(fail=1)
        await world.relay.drain()
        assert world.other.sequences(first, "failed") == [1]
        assert world.other.sequences(first) == []

        second = await world.course("EHR-2")
        await world.relay.drain()
        assert world.other.sequences(second) == [1, 2, 3, 4, 5]
        assert world.other.sequences(first) == [1, 2, 3, 4, 5]  # an endpoint that answers again is given all that waits
        assert not any(each.missing or each.late for each in world.other.receipts)

    scene(database_url, test)


def test_a_failed_delivery_is_tried_on_schedule_with_the_same_id_and_body_and_another_timestamp(database_url):
    async def test(world):
        await world.subscribe()
        world.other.trouble(fail=3)
        await service_walk.open_course(world.clinic)
        waits = [0, 4.9, 0.1, 299, 1, 1799, 1]
        attempts = [await world.pass_time(seconds=wait) for wait in waits]
        assert attempts == [1, 0, 1, 0, 1, 0, 1]
        assert world.other.outcomes() == ["failed", "failed", "failed", "received"]
        assert len({each.id for each in world.other.receipts}) == 1
        assert len({msgspec.json.encode(each.data) for each in world.other.receipts}) == 1

    scene(database_url, test)


def test_after_the_last_attempt_it_is_a_dead_letter_the_next_goes_on_and_the_gap_shows(database_url):
    async def test(world):
        subscription = await world.subscribe()
        course = await service_walk.open_course(world.clinic)
        await world.relay.drain()
        world.other.trouble(fail=3)
        await service_walk.fire(world.clinic, course, NOTE)
        await service_walk.fire(world.clinic, course, NOTE)
        for seconds in (0, 1, 2):
            await world.pass_time(seconds=seconds)
        assert await world.states(subscription) == [("delivered", 1), ("dead", 3), ("delivered", 1)]
        assert world.other.receipts[-1].missing == (2, 2)

        dead = (await world.deliveries.page(ADMIN, subscription, status="dead", after=0, limit=10))[0]
        assert (dead.sequence, dead.problem, dead.http_status) == (2, "status", 500)
        assert (await world.deliveries.replay_one(ADMIN, dead.id)).deliveries == 1
        await world.relay.drain()
        assert world.other.receipts[-1].late
        assert world.other.receipts[-1].id == dead.event
        assert await world.states(subscription) == [("delivered", 1)] * 3

    scene(database_url, test, IPT_DELIVERY_RETRY_SECONDS="1,2")


def test_retry_after_is_honoured_and_429_throttles_the_whole_subscription(database_url):
    async def test(world):
        await world.subscribe()
        world.other.trouble(fail=1, fail_status=429, retry_after=60)
        await service_walk.open_course(world.clinic, "EHR-1")
        assert await world.relay.drain() == 1
        await service_walk.open_course(world.clinic, "EHR-2")
        assert await world.pass_time(seconds=59) == 0
        assert await world.pass_time(seconds=1) == 2
        assert world.other.outcomes() == ["failed", "received", "received"]

    scene(database_url, test)


def test_410_disables_the_subscription_at_once_and_another_is_notified(database_url):
    async def test(world):
        gone = await world.subscribe()
        async with other_side(world.clock) as watcher:
            shown = await world.subscriptions.create(
                ADMIN, lambda: NewSubscription(url=watcher.url, types=("subscription.disabled",))
            )
            watcher.trusts(shown.secret)
            world.other.trouble(gone=True)
            course = await world.course()
            await world.relay.drain()
            assert world.other.outcomes() == ["gone"]
            shown = await world.subscriptions.one(ADMIN, gone)
            assert (shown.status, shown.reason) == ("disabled", "gone")
            assert [each.data for each in watcher.receipts] == [{"subscription": gone, "reason": "gone"}]

        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()
        assert world.other.outcomes() == ["gone"]
        world.other.trouble()
        await world.deliveries.replay(ADMIN, gone, lambda: Replay(since=service_walk.START))
        await world.subscriptions.resume(ADMIN, gone)
        await world.relay.drain()
        assert world.other.sequences(course) == [1, 2, 3, 4, 5, 6]

    scene(database_url, test)


def test_five_days_without_a_success_disable_a_subscription(database_url):
    async def test(world):
        subscription = await world.subscribe()
        world.other.trouble(fail=10**9)
        await service_walk.open_course(world.clinic)
        await world.relay.drain()
        for _ in range(20):
            assert (await world.subscriptions.one(ADMIN, subscription)).status == "active"
            await world.pass_time(hours=6)
        shown = await world.subscriptions.one(ADMIN, subscription)
        assert (shown.status, shown.reason) == ("disabled", "failing")
        assert world.other.outcomes() == ["failed"] * 21
        await service_walk.open_course(world.clinic, "EHR-2")
        assert await world.pass_time(hours=6) == 0

    scene(database_url, test, IPT_DELIVERY_RETRY_SECONDS=",".join(["21600"] * 20))


def test_a_paused_subscription_is_sent_nothing_and_gets_it_all_when_resumed(database_url):
    async def test(world):
        subscription = await world.subscribe()
        await world.subscriptions.pause(ADMIN, subscription)
        course = await world.course()
        assert await world.relay.drain() == 0
        await world.subscriptions.resume(ADMIN, subscription)
        await world.relay.drain()
        assert world.other.sequences(course) == [1, 2, 3, 4, 5]

    scene(database_url, test)


def test_a_deleted_subscription_is_sent_nothing_more_and_keeps_no_key(database_url):
    async def test(world):
        subscription = await world.subscribe()
        await world.course()
        await world.relay.clinic.database.read(deliveries.counts, "default")
        await world.subscriptions.delete(ADMIN, subscription)
        assert await world.relay.drain() == 0
        assert await world.clinic.database.read(subscriptions.keys, "default", subscription, world.clock.now()) == []
        with pytest.raises(NotFound):
            await world.subscriptions.one(ADMIN, subscription)

    scene(database_url, test)


def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_alone(database_url):
    async def test(world):
        subscription = await world.subscribe(signatures=("v1", "v1a"))
        course = await service_walk.open_course(world.clinic)
        await world.relay.drain()
        rotated = await world.subscriptions.rotate(ADMIN, subscription, lambda: Rotation(overlap_hours=2))
        assert {key.scheme for key in rotated.subscription.keys} == {"v1", "v1a"}
        assert len(rotated.subscription.keys) == 4
        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()  # the receiver still knows the old secret alone
        await world.pass_time(hours=2)
        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()
        world.other.trusts(rotated.secret)
        await world.pass_time(seconds=5)
        public = [key.public for key in rotated.subscription.keys if key.scheme == "v1a" and key.expires_at is None]
        world.other.trusts(*public)
        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()
        assert world.other.outcomes() == ["received", "received", "unsigned", "received", "received"]

    scene(database_url, test)


class Refuser(DeliverySender):
    """Sends nothing: keeps each message, and returns the given results."""

    def __init__(self, *outcomes: SendResult) -> None:
        self.sent, self.outcomes = [], list(outcomes)

    async def send(self, url, headers, body, now):
        self.sent.append((url, headers, body))
        return self.outcomes.pop(0) if self.outcomes else SendResult(status=200)

    async def close(self) -> None:
        pass


class Picky(Refuser):
    """Refuses what is about one course, with this answer."""

    def __init__(self, course: str, answer: SendResult) -> None:
        super().__init__()
        self.course, self.answer = course, answer

    async def send(self, url, headers, body, now):
        accepted = await super().send(url, headers, body, now)
        return self.answer if self.course.encode() in body else accepted


def test_a_course_that_is_refused_keeps_its_schedule_while_others_are_accepted(database_url):
    async def test(world):
        subscription = await world.subscribe()
        refused = await service_walk.open_course(world.clinic, "EHR-0")
        relay = Relay(world.clinic, Picky(refused, SendResult(status=500, problem="status")))
        for number in range(1, 15):
            await service_walk.open_course(world.clinic, f"EHR-{number}")
            await relay.drain()
            world.clock.advance(dt.timedelta(seconds=1))
        assert sorted(await world.states(subscription)) == sorted([("waiting", 2), *[("delivered", 1)] * 14])

    scene(database_url, test)


def test_after_an_outage_what_failed_is_sent_at_once_and_its_last_attempt_does_not_count(database_url):
    async def test(world):
        subscription = await world.subscribe()
        await service_walk.open_course(world.clinic, "EHR-1")
        world.other.trouble(fail=3)
        for seconds in (0, 6, 400):
            await world.pass_time(seconds=seconds)
        assert await world.states(subscription) == [("waiting", 3)]
        await service_walk.open_course(world.clinic, "EHR-2")
        assert await world.relay.drain() == 2
        assert sorted(await world.states(subscription)) == [("delivered", 1), ("delivered", 3)]

    scene(database_url, test)


def test_a_hold_is_not_shortened_by_another_failure(database_url):
    async def test(world):
        await world.subscribe()
        held = await service_walk.open_course(world.clinic, "EHR-1")
        await service_walk.open_course(world.clinic, "EHR-2")

        class Both(Refuser):
            async def send(self, url, headers, body, now):
                await super().send(url, headers, body, now)
                while len(self.sent) < 2:  # both are under way
                    await asyncio.sleep(0)
                if held.encode() in body:
                    return SendResult(status=429, problem="status", retry_after=dt.timedelta(hours=1))
                return SendResult(status=500, problem="status")

        sender = Both()
        relay = Relay(world.clinic, sender)
        assert await relay.drain() == 2
        world.clock.advance(dt.timedelta(minutes=50))
        await service_walk.open_course(world.clinic, "EHR-3")
        assert (await relay.drain(), len(sender.sent)) == (0, 2)

    scene(database_url, test)


def test_the_library_of_the_standard_verifies_what_is_sent(database_url):
    async def test(world):
        shown = await world.subscriptions.create(ADMIN, lambda: NewSubscription(url=world.other.url))
        world.clock.set(dt.datetime.now(dt.UTC))
        sender = Refuser()
        await service_walk.open_course(world.clinic)
        await Relay(world.clinic, sender).drain()
        ((_, headers, body),) = sender.sent
        verified = standardwebhooks.Webhook(shown.secret).verify(body, headers)
        assert verified["type"] == "course.changed"
        assert headers["webhook-id"].startswith("evt_")
        assert len(body) < 20_000

    scene(database_url, test)


def test_by_name_and_refused_go_to_the_clinical_scope_alone_and_hold_no_text(database_url):
    async def test(world):
        subscription = await world.subscribe(types=("course.*", "course.refused"), scope="clinical")
        course = await service_walk.open_course(world.clinic)
        await service_walk.walk(world.clinic, course, "record_consent")
        await service_walk.fire(world.clinic, course, NOTE)
        with pytest.raises(TransitionRefused):
            await service_walk.fire(world.clinic, course, Command("begin_middle"))
        await world.relay.drain()
        assert [each.type for each in world.other.receipts] == [
            "course.refer",
            "course.record_consent",
            "course.note",
            "course.refused",
        ]
        refused = world.other.receipts[-1].data
        assert (refused["trigger"], refused["rules"], refused["course"]) == ("begin_middle", ["state_allows"], course)
        assert "sequence" not in refused
        assert "She called" not in msgspec.json.encode([each.data for each in world.other.receipts]).decode()
        assert world.other.receipts[1].data["from"] == "referred"

        with pytest.raises(CommandInvalid, match="clinical"):
            await world.subscriptions.change(ADMIN, subscription, lambda: SubscriptionChange(scope="thin"))
        await service_walk.fire(world.clinic, course, NOTE)
        await fan_out.fan_out_all(world.clinic)
        await world.subscriptions.change(ADMIN, subscription, lambda: SubscriptionChange(scope="thin", types=("course.attention",)))
        await world.relay.drain()
        assert len(world.other.receipts) == 4  # what waits is judged by the scope when it is sent
        assert (await world.states(subscription))[-1] == ("withheld", 0)

    scene(database_url, test)


def test_a_withdrawn_consent_to_share_stops_deliveries_at_once(database_url):
    async def test(world):
        subscription = await world.subscribe()
        course = await service_walk.open_course(world.clinic)
        world.other.trouble(fail=1)
        await world.relay.drain()
        await service_walk.fire(world.clinic, course, Command("withdraw_consent", {"scope": "sharing", "who": "client"}))
        other = await service_walk.open_course(world.clinic, "EHR-2")
        await service_walk.fire(world.clinic, other, NOTE)
        await world.pass_time(hours=1)
        assert world.other.sequences(course) == []
        assert world.other.sequences(other) == [1, 2]
        assert [status for status, _ in await world.states(subscription)].count("withheld") == 2
        assert world.other.types(course) == ["course.changed", "course.withheld"]  # the first of them failed

        await service_walk.fire(world.clinic, course, Command("record_consent", {"scope": "sharing", "who": "client"}))
        await world.deliveries.replay(ADMIN, subscription, lambda: Replay(since=service_walk.START))
        await world.relay.drain()
        assert sorted(world.other.sequences(course)) == [1, 2, 3]
        assert "course.resumed" in world.other.types(course)

    scene(database_url, test)


def test_a_ping_arrives_and_is_no_event_for_others(database_url):
    async def test(world):
        await world.subscribe()
        subscription = await world.subscribe()
        pinged = await world.subscriptions.ping(ADMIN, subscription)
        await world.relay.drain()
        ((receipt),) = world.other.receipts
        assert (receipt.id, receipt.type, receipt.data) == (pinged, "subscription.ping", {"subscription": subscription})

    scene(database_url, test)


@pytest.mark.parametrize("answers", (204, 500, 410))
@pytest.mark.parametrize("status", ("paused", "disabled"))
def test_a_subscription_that_is_paused_or_disabled_gets_a_ping_in_one_attempt_and_stays_so(database_url, status, answers):
    async def test(world):
        subscription = await world.subscribe()
        if status == "paused":
            await world.subscriptions.pause(ADMIN, subscription)
        else:
            await world.clinic.write(subscriptions.disable, subscription, "failing")
        await world.course()
        await world.subscriptions.ping(ADMIN, subscription)
        world.other.trouble(fail=0 if answers == 204 else 10**9, fail_status=answers)
        assert await world.relay.drain() == 1
        assert await world.pass_time(days=2) == 0
        assert [each.type for each in world.other.receipts] == ["subscription.ping"]
        states = await world.states(subscription)
        assert [each for each in states if each[1]] == [("delivered" if answers == 204 else "dead", 1)]
        assert (await world.subscriptions.one(ADMIN, subscription)).status == status

    scene(database_url, test)


def test_a_range_is_sent_again_delivered_or_not(database_url):
    async def test(world):
        subscription = await world.subscribe()
        course = await world.course()
        await world.relay.drain()
        first, last = world.other.receipts[1].id, world.other.receipts[3].id
        assert (await world.deliveries.replay(ADMIN, subscription, lambda: Replay(first=first, last=last))).deliveries == 3
        await world.relay.drain()
        assert world.other.sequences(course, "duplicate") == [2, 3, 4]
        assert (await world.deliveries.replay(ADMIN, subscription, lambda: Replay(since=service_walk.START))).deliveries == 0
        for body in (
            Replay(),
            Replay(since=service_walk.START, first=first),
            Replay(first="evt_none"),
            Replay(since=service_walk.START - dt.timedelta(days=99)),
        ):
            with pytest.raises(CommandInvalid):
                await world.deliveries.replay(ADMIN, subscription, lambda body=body: body)

    scene(database_url, test)


def test_each_delivery_is_recorded_as_a_disclosure_with_its_course(database_url):
    async def test(world):
        subscription = await world.subscribe()
        course = await service_walk.open_course(world.clinic)
        await world.relay.drain()
        rows = await world.clinic.database.read(_audit)
        assert [(row.person, row.action, row.course_id) for row in rows] == [
            (f"subscription:{subscription}", f"delivered {world.other.receipts[0].id}", course)
        ]

    scene(database_url, test)


def _audit(connection):
    events, subjects = tables.audit_event, tables.audit_subject
    joined = events.join(subjects, events.c.id == subjects.c.event_id)
    return connection.execute(
        sa.select(events.c.person, events.c.action, subjects.c.course_id).select_from(joined).where(events.c.kind == "delivery")
    ).all()


def test_a_lease_that_ran_out_is_taken_by_another_and_the_first_one_writes_nothing_any_more(database_url):
    async def test(world):
        subscription = await world.subscribe()
        await service_walk.open_course(world.clinic)
        begun, held = asyncio.Event(), asyncio.Event()

        class Slow(Refuser):
            async def send(self, url, headers, body, now):
                self.sent.append(headers["webhook-id"])
                begun.set()
                await held.wait()
                return SendResult(status=500, problem="status")

        slow, quick = Slow(), Refuser()
        first = asyncio.create_task(Relay(world.clinic, slow).drain())
        await begun.wait()
        second = Relay(world.clinic, quick)
        assert await second.drain() == 0
        world.clock.advance(dt.timedelta(seconds=16))
        assert await second.drain() == 1
        held.set()
        await first
        assert quick.sent[0][1]["webhook-id"] == slow.sent[0]
        assert await world.states(subscription) == [("delivered", 1)]

    scene(database_url, test)


def test_what_was_accepted_after_its_lease_was_lost_is_recorded_as_a_disclosure(database_url):
    async def test(world):
        subscription = await world.subscribe()
        await service_walk.open_course(world.clinic)
        begun, held = asyncio.Event(), asyncio.Event()

        class Slow(Refuser):
            async def send(self, url, headers, body, now):
                begun.set()
                await held.wait()
                return await super().send(url, headers, body, now)

        sending = asyncio.create_task(Relay(world.clinic, Slow()).drain())
        await begun.wait()
        await world.clinic.write(subscriptions.delete, subscription, world.clock.now())
        held.set()
        await sending
        assert len(await world.clinic.database.read(_audit)) == 1

    scene(database_url, test)


def test_several_relays_share_the_work_and_send_nothing_twice(database_url):
    async def test(world):
        await world.subscribe()
        courses = [await world.course(f"EHR-{n}") for n in range(6)]
        relays = [Relay(world.clinic) for _ in range(4)]
        attempts = await asyncio.gather(*(relay.drain() for relay in relays))
        for relay in relays:
            await relay.close()
        assert sum(attempts) == 30
        assert world.other.outcomes() == ["received"] * 30
        assert all(world.other.sequences(course) == [1, 2, 3, 4, 5] for course in courses)

    scene(database_url, test)


def test_one_stalled_subscription_does_not_take_the_place_of_another(database_url):
    async def test(world):
        async with other_side(world.clock, stall=10**9, stall_seconds=0.3) as slow:
            shown = await world.subscriptions.create(ADMIN, lambda: NewSubscription(url=slow.url))
            slow.trusts(shown.secret)
            await world.subscribe()
            for n in range(6):
                await service_walk.open_course(world.clinic, f"EHR-{n}")
            await world.relay.drain()
            assert len(world.other.receipts) == 6
            assert len(slow.receipts) == 6

    scene(database_url, test, IPT_DELIVERY_CONCURRENCY="3", IPT_DELIVERY_CONCURRENCY_EACH="2")


def test_what_was_delivered_long_ago_is_pruned_and_dead_letters_stay(database_url):
    async def test(world):
        subscription = await world.subscribe()
        course = await service_walk.open_course(world.clinic)
        await world.relay.drain()
        world.other.trouble(fail=2)
        await service_walk.fire(world.clinic, course, NOTE)
        await world.relay.drain()
        await world.pass_time(seconds=1)
        before = world.clock.now() + dt.timedelta(seconds=1)
        assert await world.clinic.database.write(deliveries.prune, "default", before) == 1
        assert [status for status, _ in await world.states(subscription)] == ["dead"]

    scene(database_url, test, IPT_DELIVERY_RETRY_SECONDS="0")

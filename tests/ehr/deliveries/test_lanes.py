"""A lane with a backlog: the next goes out as soon as the one before was accepted, and never before; on both databases."""

import asyncio
from collections import Counter

import msgspec
import pytest
import sqlalchemy as sa
from support import service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import lanes
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, SubscriptionChange
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store.schema import tables

ADMIN = Principal(person="admin-1", role="admin", via="api")
NOTE = Command("note", {"text": "She called."})
OK = SendResult(status=204)


class Scripted(DeliverySender):
    """Sends nothing. Keeps what it was given, by course, and answers as `answer(course, sequence)` says."""

    def __init__(self, answer=None):
        self.answer = answer
        self.sent = []
        self.under_way, self.most_under_way = Counter(), Counter()

    async def send(self, url, headers, body, now):
        data = msgspec.json.decode(body)["data"]
        course, sequence = data.get("course"), data.get("sequence")
        self.sent.append((course, sequence))
        self.under_way[course] += 1
        self.most_under_way[course] = max(self.most_under_way[course], self.under_way[course])
        await asyncio.sleep(0)
        result = await self.answer(course, sequence) if self.answer else OK
        self.under_way[course] -= 1
        return result

    async def close(self):
        pass

    def sequences(self, course):
        return [sequence for each, sequence in self.sent if each == course]


def scene(url, test, **environ):
    async def inside():
        settings = configuration.load({"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true", **environ})
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            shown = await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url="http://127.0.0.1:9/"))
            await test(clinic, shown.subscription.id)

    asyncio.run(inside())


async def backlog(clinic, *notes):
    """A course for each number, with so many notes."""
    courses = [await service_walk.open_course(clinic, f"EHR-{n}") for n in range(len(notes))]
    for course, count in zip(courses, notes, strict=True):
        for _ in range(count):
            await service_walk.fire(clinic, course, NOTE)
    return courses


async def states(clinic, subscription):
    found = await Deliveries(clinic).page(ADMIN, subscription, status=None, after=0, limit=1000)
    return Counter(each.status for each in found)


def test_a_long_backlog_of_a_course_is_sent_in_order_and_one_at_a_time(database_url):
    async def test(clinic, subscription):
        courses = await backlog(clinic, 40, 3, 0)
        sender = Scripted()
        assert await Relay(clinic, sender).drain() == 46
        assert [sender.sequences(each) for each in courses] == [list(range(1, 42)), [1, 2, 3, 4], [1]]
        assert set(sender.most_under_way.values()) == {1}
        assert await states(clinic, subscription) == {"delivered": 46}

    scene(database_url, test)


def test_after_a_failure_nothing_more_of_the_course_is_sent_and_what_was_claimed_waits_again(database_url):
    async def test(clinic, subscription):
        (course,) = await backlog(clinic, 5)

        async def answer(_course, sequence):
            return SendResult(status=500, problem="status") if sequence == 3 else OK

        sender = Scripted(answer)
        await Relay(clinic, sender).drain()
        assert sender.sequences(course) == [1, 2, 3]
        assert await states(clinic, subscription) == {"delivered": 2, "waiting": 4}
        other = Scripted()
        clinic.clock.advance(service_walk.dt.timedelta(seconds=6))
        await Relay(clinic, other).drain()
        assert other.sequences(course) == [3, 4, 5, 6]

    scene(database_url, test)


def test_a_consent_withdrawn_while_the_course_is_being_sent_stops_it_before_the_next(database_url, monkeypatch):
    monkeypatch.setattr(lanes, "FRESH_SECONDS", -1.0)

    async def test(clinic, subscription):
        (course,) = await backlog(clinic, 5)

        async def answer(course, sequence):
            if sequence == 2:
                await service_walk.fire(clinic, course, Command("withdraw_consent", {"scope": "sharing", "who": "client"}))
            return OK

        sender = Scripted(answer)
        await Relay(clinic, sender).drain()
        assert sender.sequences(course) == [1, 2, None]  # the last says that it is withheld
        assert await states(clinic, subscription) == {"delivered": 3, "withheld": 5}

    scene(database_url, test)


@pytest.mark.parametrize("verb", ("pause", "narrow", "delete"))
def test_a_subscription_that_changes_while_a_course_is_sent_is_obeyed_before_the_next(database_url, monkeypatch, verb):
    monkeypatch.setattr(lanes, "FRESH_SECONDS", -1.0)

    async def test(clinic, subscription):
        (course,) = await backlog(clinic, 5)
        service = Subscriptions(clinic)

        async def answer(_course, sequence):
            if sequence == 2:
                if verb == "narrow":
                    await service.change(ADMIN, subscription, lambda: SubscriptionChange(types=("course.attention",)))
                else:
                    await getattr(service, verb)(ADMIN, subscription)
            return OK

        sender = Scripted(answer)
        await Relay(clinic, sender).drain()
        assert sender.sequences(course) == [1, 2]

    scene(database_url, test)


def test_a_429_holds_the_courses_that_were_claimed_ahead_as_well(database_url):
    async def test(clinic, subscription):
        await backlog(clinic, *[0] * 8)
        answers = [OK, OK, SendResult(status=429, problem="status")]

        async def answer(_course, _sequence):
            return answers.pop(0)

        sender = Scripted(answer)
        await Relay(clinic, sender).drain()
        assert len(sender.sent) == 3
        assert await states(clinic, subscription) == {"delivered": 2, "waiting": 6}

    scene(database_url, test, IPT_DELIVERY_CONCURRENCY_EACH="1")


def test_a_secret_that_cannot_be_read_stops_its_own_subscription_alone(database_url):
    async def test(clinic, subscription):
        await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url="http://127.0.0.1:9/other"))
        keys = tables.subscription_key
        unreadable = sa.update(keys).where(keys.c.subscription_id == subscription).values(secret="sealed:under another key")
        await clinic.database.write(lambda connection: connection.execute(unreadable))
        (course,) = await backlog(clinic, 2)
        sender = Scripted()
        assert await Relay(clinic, sender).drain() == 3
        assert sender.sequences(course) == [1, 2, 3]
        assert await states(clinic, subscription) == {"waiting": 3}

    scene(database_url, test)


def test_ends_that_come_after_another_relay_took_the_lane_over_change_nothing(database_url):
    async def test(clinic, subscription):
        (course,) = await backlog(clinic, 3)
        other = Scripted()

        async def answer(_course, sequence):
            if sequence == 2:
                clinic.clock.advance(service_walk.dt.timedelta(seconds=60))
                await Relay(clinic, other).drain()
            return SendResult(status=500, problem="status") if sequence == 2 else OK

        sender = Scripted(answer)
        await Relay(clinic, sender).drain()
        assert sender.sequences(course) == [1, 2]
        assert other.sequences(course)[-2:] == [3, 4]  # in order, after what it could not know to be accepted
        assert await states(clinic, subscription) == {"delivered": 4}

    scene(database_url, test)

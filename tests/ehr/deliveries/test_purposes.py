"""What a delivery is for, and whether the client lets it go out for that, is asked when it is sent; on both databases."""

import asyncio
from collections import Counter

import msgspec
import pytest
from support import service_walk
from support.marks import end, mark
from support.service_walk import AUDITOR, fire

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import lanes
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, Replay, SubscriptionChange
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.store.audit import AuditFilters, Position

ADMIN = Principal(person="admin-1", role="admin", via="api")
EHR = Principal(person="ehr:register", role="ehr")
NOTE = Command("note", {"text": "She called."})
TO_RESEARCH = {"scope": "sharing", "purposes": ["HRESCH"]}


class Kept(DeliverySender):
    """Sends nothing, and keeps the courses and types. `meanwhile(sequence)` runs while something is sent."""

    def __init__(self, meanwhile=None):
        self.meanwhile = meanwhile
        self.sent = []

    async def send(self, _url, _headers, body, _now):
        event = msgspec.json.decode(body)
        self.sent.append((event["data"].get("course"), event["data"].get("sequence") or event["type"]))
        if self.meanwhile:
            await self.meanwhile(event["data"].get("sequence"))
        return SendResult(status=204)

    async def close(self):
        pass

    def of(self, course):
        return [what for each, what in self.sent if each == course]


def scene(url, test, purpose="TREAT"):
    async def inside():
        settings = configuration.load({"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true"})
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            new = NewSubscription(url="http://127.0.0.1:9/", purpose=purpose)
            shown = await Subscriptions(clinic).create(ADMIN, lambda: new)
            await test(clinic, shown.subscription.id)

    asyncio.run(inside())


async def states(clinic, subscription):
    found = await Deliveries(clinic).page(ADMIN, subscription, status=None, after=0, limit=1000)
    return Counter(each.status for each in found)


async def opened(clinic, ref: str = "EHR-1", notes: int = 0) -> str:
    course = await service_walk.open_course(clinic, ref)
    for _ in range(notes):
        await fire(clinic, course, NOTE)
    return course


@pytest.mark.parametrize(("kind", "purpose"), (("restriction", "TREAT"), ("objection", "HRESCH")))
def test_a_mark_set_while_the_course_is_being_sent_stops_it_before_the_next(database_url, monkeypatch, kind, purpose):
    monkeypatch.setattr(lanes, "FRESH_SECONDS", -1.0)

    async def test(clinic, subscription):
        course = await opened(clinic)
        await fire(clinic, course, Command("record_consent", TO_RESEARCH))
        for _ in range(3):
            await fire(clinic, course, NOTE)

        async def meanwhile(sequence):
            if sequence == 2:
                await mark(clinic, kind)

        sender = Kept(meanwhile)
        await Relay(clinic, sender).drain()
        last = ["course.withheld"] if kind == "restriction" else []
        assert sender.of(course) == [1, 2, *last]
        assert (await states(clinic, subscription))["withheld"] == 3

    scene(database_url, test, purpose)


def test_what_was_withheld_under_a_restriction_can_be_sent_again_once_it_is_lifted(database_url):
    async def test(clinic, subscription):
        course = await opened(clinic)
        restricted = await mark(clinic, "restriction")
        await fire(clinic, course, NOTE)
        await Relay(clinic, sender := Kept()).drain()
        assert sender.of(course) == ["course.withheld"]
        await end(clinic, restricted.id)
        replay = Replay(since=service_walk.START)
        await Deliveries(clinic).replay(ADMIN, subscription, lambda: replay)
        await Relay(clinic, sender := Kept()).drain()
        assert sorted(sender.of(course), key=str) == [1, 2, "course.resumed"]

    scene(database_url, test)


def test_for_research_only_those_are_sent_who_consent_to_it_and_the_log_says_what_for(database_url):
    async def test(clinic, _subscription):
        silent, agreeing = await opened(clinic, "EHR-1", 1), await opened(clinic, "EHR-2")
        await fire(clinic, agreeing, Command("record_consent", TO_RESEARCH))
        await fire(clinic, silent, Command("withdraw_consent", {"scope": "sharing"}))
        await Relay(clinic, sender := Kept()).drain()
        assert (sender.of(agreeing), sender.of(silent)) == ([1, 2], []), "not even that sharing has ended"
        await fire(clinic, agreeing, Command("withdraw_consent", TO_RESEARCH))
        await fire(clinic, agreeing, NOTE)
        await Relay(clinic, sender := Kept()).drain()
        assert sender.of(agreeing) == []
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="delivery"), Position(), 100)
        assert {(each.basis, each.purpose) for each in records} == {("system", "HRESCH")}

    scene(database_url, test, "HRESCH")


def test_sharing_withdrawn_for_payment_alone_stops_no_delivery_for_treatment(database_url):
    async def test(clinic, subscription):
        course = await opened(clinic)
        await fire(clinic, course, Command("withdraw_consent", {"scope": "sharing", "purposes": ["HPAYMT"]}))
        await Relay(clinic, sender := Kept()).drain()
        assert sender.of(course) == [1, 2]
        change = SubscriptionChange(purpose="HPAYMT")
        assert (await Subscriptions(clinic).change(ADMIN, subscription, lambda: change)).purpose == "HPAYMT"
        await fire(clinic, course, NOTE)
        await Relay(clinic, sender := Kept()).drain()
        assert sender.of(course) == []

    scene(database_url, test)


def test_an_ehr_reads_the_feed_of_a_subscription_for_its_purpose(database_url):
    async def test(clinic, subscription):
        silent, agreeing = await opened(clinic, "EHR-1", 1), await opened(clinic, "EHR-2")
        await fire(clinic, agreeing, Command("record_consent", TO_RESEARCH))
        page = await Feed(clinic).page(EHR, None, 100, subscription)
        assert {each.data.course for each in page.items} == {agreeing}
        assert {each.data.course for each in (await Feed(clinic).page(EHR, None, 100)).items} == {silent, agreeing}

    scene(database_url, test, "HRESCH")

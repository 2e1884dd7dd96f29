"""Every delivery and every answer of the feed carries the newest checkpoint of the log, so that each receiver is a witness."""

import asyncio

from support import checkpoints, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries.bodies import NewSubscription
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock

ADMIN = Principal(person="admin-1", role="admin", via="api")
NOTE = Command("note", {"text": "She called."})


class Kept(DeliverySender):
    """Sends nothing, and keeps the headers that it was given."""

    def __init__(self):
        self.headers = []

    async def send(self, url, headers, body, now):
        self.headers.append(headers)
        return SendResult(status=204)

    async def close(self):
        pass


def scene(url, test):
    async def inside():
        settings = configuration.load({"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true"})
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url="http://127.0.0.1:9/"))
            await test(clinic, Kept())

    asyncio.run(inside())


def test_a_delivery_carries_the_newest_checkpoint_and_none_before_there_is_one(database_url):
    async def test(clinic, sender):
        course = await service_walk.open_course(clinic)
        await Relay(clinic, sender).drain()
        assert "ipt-log-checkpoint" not in sender.headers[-1]
        notes = []
        for _ in range(2):
            notes.append(await checkpoints.sign(clinic))
            await service_walk.fire(clinic, course, NOTE)
            await Relay(clinic, sender).drain()
        shown = [ipt_verify.read_header(each["ipt-log-checkpoint"]) for each in sender.headers[-2:]]
        assert [each.text for each in shown] == [each.text for each in notes]
        for header, note in zip(sender.headers[-2:], shown, strict=True):
            assert ipt_verify.holds(checkpoints.KEYS[0].key, note)
            assert len("ipt-log-checkpoint: " + header["ipt-log-checkpoint"]) <= 400

    scene(database_url, test)


def test_the_feed_says_the_newest_checkpoint(database_url):
    async def test(clinic, _):
        await service_walk.open_course(clinic)
        assert await Feed(clinic).checkpoint() is None
        note = await checkpoints.sign(clinic)
        assert ipt_verify.read_header(await Feed(clinic).checkpoint()).text == note.text

    scene(database_url, test)

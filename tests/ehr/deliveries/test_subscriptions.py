"""Subscriptions with the same terms, on both databases."""

import asyncio

import pytest
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, SubscriptionChange
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.errors import SubscriptionExists
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import subscriptions

ADMIN = Principal(person="admin-1", role="admin", via="api")
URL = "https://ehr.example/hooks"


def scene(settings, test):
    async def inside():
        clinics = [await open_clinic(settings, VirtualClock(service_walk.START)) for _ in range(2)]
        try:
            await test(*clinics)
        finally:
            for clinic in clinics:
                await clinic.installation.close()

    asyncio.run(inside())


def test_many_requests_at_once_to_two_processes_make_one_and_all_others_are_given_its_id(tmp_path, server):
    async def test(*clinics):
        async def create(n: int) -> str:
            return (await Subscriptions(clinics[n % 2]).create(ADMIN, lambda: NewSubscription(url=URL))).subscription.id

        answers = await asyncio.gather(*(create(n) for n in range(8)), return_exceptions=True)
        (made,) = [each for each in answers if isinstance(each, str)]
        assert [each.existing for each in answers if isinstance(each, SubscriptionExists)] == [made] * 7
        assert len(await Subscriptions(clinics[0]).page(ADMIN, "", 10)) == 1

    scene(databases.empty(tmp_path, server), test)


def test_two_changes_at_once_to_the_same_terms_leave_one_of_them(tmp_path, server):
    async def test(*clinics):
        first = Subscriptions(clinics[0])
        made = [(await first.create(ADMIN, lambda n=n: NewSubscription(url=f"{URL}/{n}"))).subscription.id for n in range(2)]
        changes = [
            Subscriptions(clinic).change(ADMIN, each, lambda: SubscriptionChange(url=URL))
            for clinic, each in zip(clinics, made, strict=True)
        ]
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(each).__name__ for each in answers].count("SubscriptionExists") == 1
        assert sorted(each.url for each in await first.page(ADMIN, "", 10)).count(URL) == 1

    scene(databases.empty(tmp_path, server), test)


@pytest.mark.parametrize("other", ({"scope": "clinical"}, {"types": ("course.changed",)}, {"url": URL + "/"}))
def test_other_terms_are_another_subscription(tmp_path, server, other):
    async def test(clinic, _):
        service = Subscriptions(clinic)
        shown = await service.create(ADMIN, lambda: NewSubscription(url=URL))
        await service.create(ADMIN, lambda: NewSubscription(**{"url": URL, **other}))
        with pytest.raises(SubscriptionExists, match=shown.subscription.id):
            await service.create(ADMIN, lambda: NewSubscription(url=URL, signatures=("v1a",)))
        await service.change(ADMIN, shown.subscription.id, lambda: SubscriptionChange(url=URL))  # it is no other than itself

    scene(databases.empty(tmp_path, server), test)


def test_one_that_is_disabled_counts(tmp_path, server):
    async def test(clinic, _):
        service = Subscriptions(clinic)
        shown = await service.create(ADMIN, lambda: NewSubscription(url=URL))
        await clinic.write(subscriptions.disable, shown.subscription.id, "gone")
        with pytest.raises(SubscriptionExists, match="resume"):
            await service.create(ADMIN, lambda: NewSubscription(url=URL))

    scene(databases.empty(tmp_path, server), test)

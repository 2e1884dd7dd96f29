"""The pages of retention: an administrator puts policies in force and decides about what is due, and an auditor reads."""

import datetime as dt

import pytest
import sqlalchemy as sa
from support import marks, retention
from support.service_walk import START

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.store import log
from ipt_workflow.store.schema import tables

ADMIN, AUDITOR = ("admin-1", "admin"), ("auditor-1", "auditor")
CEILING = retention.policy("gone", kind="access_log", bound="ceiling", period="P1M", anchor="recorded")


def shown(browse, work, person=ADMIN):
    """Runs a test with a browser in which somebody is signed in."""

    async def inside(site):
        return await work(site, await site.visitor(*person))

    return browse(inside)


def test_an_example_is_put_in_force_from_its_form_and_ended(browse, axe):
    async def test(_site, page):
        await page.open("/admin")
        await page.follow("Retention")
        assert "No policy is in force, so nothing is ever due." in page.text
        await page.follow("germany-record")
        assert page.value(page.control("Period")) == "P10Y"
        axe(page)
        await page.press("Put in force")
        assert page.path == "/admin/retention"
        assert [row[0] for row in page.table()[1:]] == ["germany-record"]
        axe(page)
        await page.press("End the policy germany-record")
        assert "No policy is in force" in page.text

    shown(browse, test)


def test_what_is_wrong_with_a_policy_is_said_at_its_field(browse, axe):
    async def test(_site, page):
        await page.open("/admin/retention/new?example=germany-access-log")
        page.fill("Period", "P2Y")
        await page.press("Put in force")
        await page.open("/admin/retention/new?example=germany-access-log-floor")
        await page.press("Put in force")
        assert page.status == 422
        assert "This contradicts the policy germany-access-log" in page.text
        axe(page)

    shown(browse, test)


def test_a_record_that_is_due_is_kept_and_then_erased(browse, axe, clock):
    async def test(site, page):
        await retention.due(site.clinic, "EHR-7741")
        await page.open("/admin/retention/records")
        axe(page)
        await page.follow("EHR-7741")
        axe(page)
        page.choose("Keep it for longer", "What is to become of it")
        await page.press("Do it")
        assert page.status == 422
        assert "Say why it is kept." in page.text
        page.choose("Keep it for longer", "What is to become of it").choose("Claims are made, or may be", "Why it is kept")
        page.fill("Kept until", clock.now().date().isoformat())
        await page.press("Do it")
        assert page.heading == "It is kept for longer."
        clock.advance(dt.timedelta(days=1))
        page = await site.visitor(*ADMIN)
        await page.open("/admin/retention/records")
        await page.follow("EHR-7741")
        page.choose("Erase it", "What is to become of it")
        await page.press("Do it")
        assert page.heading == "What would go"
        assert "The EHR's reference of the client: 1" in page.text
        axe(page)
        await page.press("Erase it for ever")
        assert page.heading == "It was erased."
        axe(page)
        await page.open("/admin/retention/records")
        assert "EHR-7741" not in page.answer.text

    shown(browse, test)


def test_a_hold_is_shown_and_the_record_stays(browse, axe):
    async def test(site, page):
        (client,) = await retention.due(site.clinic, "EHR-1")
        await marks.mark(site.clinic, "hold")
        await page.open(f"/admin/retention/records/{client}")
        assert "There is a hold on this record." in page.text
        page.choose("Erase it", "What is to become of it")
        await page.press("Do it")
        assert page.heading == "It stays: there is a hold on it."
        axe(page)

    shown(browse, test)


def test_who_signed_in_too_long_ago_confirms_first(browse, clock):
    async def test(site, page):
        (client,) = await retention.due(site.clinic, "EHR-1")
        await page.open(f"/admin/retention/records/{client}")
        clock.advance(dt.timedelta(minutes=10))
        page.choose("Erase it", "What is to become of it")
        await page.press("Do it")
        assert page.status == 401
        assert page.links()["Confirm that it is you"].endswith("/confirm")

    shown(browse, test)


async def a_month_is_due(clinic) -> None:
    """Reads of last winter have their positions in the log, and a checkpoint covers them."""
    await retention.adopt(clinic, CEILING)
    await fan_out.bring_up_to_date(clinic)
    size = await clinic.read(log.size)
    row = {"organisation": "default", "size": size, "origin": "o", "root": "0" * 64, "note": "n\n", "cosignatures": ""}
    await clinic.database.write(lambda c: c.execute(sa.insert(tables.log_checkpoint), {**row, "created_at": START}) and None)
    clinic.clock.advance(dt.timedelta(days=70))


@pytest.mark.parametrize("person", (ADMIN, AUDITOR), ids=("admin", "auditor"))
def test_a_month_of_the_log_is_removed_by_an_administrator_and_an_auditor_sees_what_was(browse, axe, person):
    async def test(site, page):
        await page.open("/admin/retention")  # is in the log
        await a_month_is_due(site.clinic)
        page = await site.visitor(*person)
        await page.open("/admin/retention/months")
        (row,) = page.table()[1:]
        assert (row[0], row[5]) == ("2026-01", "")
        axe(page)
        if person == AUDITOR:
            assert "Remove 2026-01" not in page.answer.text
            return
        await page.press("Remove 2026-01")
        assert "No month is due." in page.text
        assert [row[0] for row in page.table()[1:]] == ["2026-01"]
        axe(page)

    shown(browse, test, person)

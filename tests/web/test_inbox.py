"""The inbox: which messages wait for whom, why, and what the two decisions do."""

from typing import Any

from support.ehr_sender import Ehr
from support.http_client import START, Api

from ipt_workflow.web import inbox

LATER = START.replace(day=20)  # than everything that the messages tell of


async def with_messages(site, *refs: str) -> tuple[Api, str]:
    """A course of therapist-1, and messages about it that wait: a fourth session in the first phase."""
    api = await site.api()
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    site.clinic.clock.set(LATER)
    ehr = await Ehr.register(api)
    for number in range(1, 4):
        assert (await sent(ehr, f"A/{number}"))["status"] == "applied"
    for ref in refs:
        assert (await sent(ehr, ref))["status"] == "waiting"
    return api, course


async def sent(ehr: Ehr, ref: str) -> dict[str, Any]:
    at = START.replace(day=START.day + int(ref[-1]), hour=1)
    body = {"client_ref": "EHR-1", "ref": ref, "start": at.isoformat(), "end": at.replace(minute=50).isoformat()}
    answer = await ehr.notify("appointment.fulfilled", body)
    return answer.json()


async def notices(api: Api, status: str = "waiting") -> list[dict[str, Any]]:
    return (await api.get(f"/v1/notices?status={status}")).json()["items"]


def test_a_message_is_listed_with_its_client_what_it_would_record_and_why_it_waits(browse):
    async def test(site):
        _api, course = await with_messages(site, "A/4")
        page = await (await site.visitor()).open("/inbox")
        assert (page.heading, page.title) == ("Inbox", "Inbox – IPT workflow")
        (row,) = page.table()[1:]
        assert (row[0], row[1], row[2], row[3]) == ("EHR-1", "Record a session", "20 Jan 2026, 09:00", "north")
        assert page.links()["EHR-1"] == f"/courses/{course}"
        other = await (await site.visitor("therapist-2")).open("/inbox")
        assert "No message waits." in other.text

    browse(test)


def test_a_message_says_why_it_waits_and_is_recorded_once_the_course_allows_it(browse):
    async def test(site):
        api, course = await with_messages(site, "A/4")
        (waiting,) = await notices(api)
        page = await (await site.visitor()).open(f"/inbox/{waiting['id']}")
        assert "EHR-1" not in page.title
        await page.press("Record it")
        assert page.status == 409
        assert "It goes on waiting." in page.errors[0]
        reason = {"reason": "One more session.", "occurred_at": START.replace(day=8, hour=3).isoformat()}
        extended = await api.fire(course, "extend_phase", {}, "supervisor", **reason)
        assert extended.status_code == 201, extended.text
        await page.press("Record it")
        assert (page.status, page.path) == (200, "/inbox")
        assert "The message is recorded." in page.text
        assert await notices(api) == []

    browse(test)


def test_a_message_is_dismissed_with_a_reason(browse, axe):
    async def test(site):
        api, _course = await with_messages(site, "A/4")
        (waiting,) = await notices(api)
        page = await (await site.visitor()).open(f"/inbox/{waiting['id']}")
        await page.press("Dismiss")
        assert (page.status, page.errors) == (422, ["Say why you dismiss the message."])
        axe(page)
        page.fill("Reason", "The client was not there.")
        await page.press("Dismiss")
        assert "The message is dismissed." in page.text
        (dismissed,) = await notices(api, "dismissed")
        assert (dismissed["why"], dismissed["decided_by"]) == ("The client was not there.", "therapist-1")

    browse(test)


def test_a_message_that_somebody_else_dealt_with_says_so(browse):
    async def test(site):
        api, _course = await with_messages(site, "A/4")
        (waiting,) = await notices(api)
        page = await (await site.visitor()).open(f"/inbox/{waiting['id']}")
        body = {"action": "dismiss", "reason": "Wrong."}
        assert (await api.post(f"/v1/notices/{waiting['id']}/resolve", body, "supervisor")).status_code == 200
        page.fill("Reason", "The client was not there.")
        await page.press("Dismiss")
        assert (page.status, page.errors) == (412, ["Somebody else has dealt with this message meanwhile."])
        assert page.main.all("button") == []

    browse(test)


def test_messages_are_paged(browse, monkeypatch):
    monkeypatch.setattr(inbox, "SIZE", 1)

    async def test(site):
        await with_messages(site, "A/4", "A/5")
        page = await (await site.visitor()).open("/inbox")
        assert len(page.table()) == 2
        await page.follow("Next messages")
        assert len(page.table()) == 2
        await page.follow("Back to the first")
        assert page.path == "/inbox"

    browse(test)


def test_a_message_about_a_strangers_client_does_not_exist(browse):
    async def test(site):
        api, _course = await with_messages(site, "A/4")
        (waiting,) = await notices(api)
        page = await site.visitor("therapist-2")
        for address in (waiting["id"], "00000000-0000-7000-8000-000000000000"):
            await page.open(f"/inbox/{address}")
            assert page.status == 404
            assert "EHR-1" not in page.answer.text

    browse(test)


def test_the_questions_to_the_database_do_not_grow_with_the_messages(browse, statements):
    async def test(site):
        api, _course = await with_messages(site, "A/4")
        page, counted = await site.visitor(), []
        for again in range(2):
            if again:
                ehr = await Ehr.register(api, "south")
                for number in range(5, 9):
                    await sent(ehr, f"B/{number}")
            await page.open("/inbox")
            with statements() as asked:
                await page.open("/inbox")
            counted.append(len(asked))
        assert counted[0] == counted[1] <= 16

    browse(test)


def test_the_inbox_and_a_message_are_accessible(browse, axe, picture):
    async def test(site):
        api, _course = await with_messages(site, "A/4")
        (waiting,) = await notices(api)
        page = await (await site.visitor()).open("/inbox")
        axe(page)
        await page.open(f"/inbox/{waiting['id']}")
        picture(page, "message")
        axe(page)

    browse(test)

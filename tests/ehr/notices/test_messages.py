"""A source reads what became of its messages: its own alone, and nothing that it did not send."""

import datetime as dt

import pytest
from support.ehr_sender import Ehr, inbox, resolve, started, status
from support.http_client import OPERATOR, START

from ipt_workflow.ehr.notices.sources import Sources
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken

URL = "/v1/ehr/messages"
CONSENT = {"client_ref": "EHR-1", "scope": "sharing"}


@pytest.fixture
def with_ehr(api):
    """Runs a test with a course, and the source `north` whose token is that of the role `ehr`."""

    async def run(api, test):
        course = await started(api)
        ehr = await Ehr.register(api)
        await bind(api, "north")
        await test(api, ehr, course)

    return lambda test: api(lambda open_api: run(open_api, test), VirtualClock(START))


async def bind(api, source: str | None) -> None:
    new = NewToken(role="ehr", name="ehr-1", source=source)
    api.tokens["ehr"] = (await api.services.tokens.create(OPERATOR, new)).token


async def messages(api, query: str = "") -> list[dict]:
    answer = await api.get(URL + query, "ehr")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_each_message_says_what_became_of_it_under_the_id_of_its_receipt(with_ehr):
    async def test(api, ehr, course):
        receipts = [
            await ehr.notify("consent.given", CONSENT),
            await ehr.notify("consent.given", {**CONSENT, "client_ref": "EHR-9"}),
            await ehr.notify("client.deceased", {"client_ref": "EHR-1"}),
        ]
        found = await messages(api)
        assert [each["id"] for each in found] == [receipt.json()["id"] for receipt in receipts]
        assert [(each["status"], each["type"], each["course"]) for each in found] == [
            ("applied", "consent.given", course),
            ("waiting", "consent.given", None),
            ("waiting", "client.deceased", course),
        ]
        assert [each["seq"] is None for each in found] == [False, True, True]
        assert found[0]["why"] is None
        assert found[1]["why"] == "Its client has no course here. It is handled by itself when one is opened."
        assert found[2]["why"] == "A person decides what becomes of it."
        assert found[0]["received_at"] == "2026-01-19T09:00:00Z"
        await resolve(api, found[1]["id"], action="dismiss", reason="Her sister asked for it.")
        dismissed = (await messages(api, "?status=dismissed"))[0]
        assert (dismissed["id"], dismissed["why"], dismissed["decided_at"]) == (found[1]["id"], None, "2026-01-19T09:00:00Z")

    with_ehr(test)


def test_why_it_waits_names_the_fields_that_were_sent_and_never_what_a_course_holds(with_ehr):
    async def test(api, ehr, course):
        assert (await ehr.notify("consent.given", {"client_ref": "EHR-1", "scope": "everything"})).status_code == 422
        assert (await ehr.send(b"{not json")).status_code == 400
        for day in range(2, 6):  # the first phase has room for three
            visit = {"client_ref": "EHR-1", "ref": f"A/{day}", "start": (START + dt.timedelta(days=day)).isoformat()}
            last = await ehr.notify("appointment.fulfilled", {**visit, "comment": "Spoke of the divorce."})
        assert status(last) == "waiting"
        found = await messages(api, "?status=waiting")
        assert [each["why"] for each in found] == [
            "Some of its fields cannot be used: data.scope. A person decides; or send it again corrected.",
            "It could not be read. A person decides; or send it again in a form that can be read.",
            "The course does not accept it as it stands. A person decides.",
        ]
        (shown,) = [each for each in await inbox(api) if each["refusals"]]
        text = (await api.get(URL, "ehr")).text
        for secret in (
            "divorce",
            "EHR-1",
            shown["why"],
            shown["refusals"][0]["message"],
            shown["refusals"][0]["rule"],
            "everything",
        ):
            assert secret not in text

    with_ehr(test)


def test_a_sender_that_lost_the_receipt_finds_its_message_by_the_id_that_it_gave(with_ehr):
    async def test(api, ehr, course):
        sent = [(await ehr.notify("consent.given", CONSENT, key=f"msg_{n}")).json()["id"] for n in range(3)]
        assert [each["id"] for each in await messages(api, "?message=msg_1")] == [sent[1]]
        assert await messages(api, "?message=msg_9") == []
        await Ehr.register(api, "south")
        await bind(api, "south")
        assert await messages(api, "?message=msg_1") == []  # another source's message of that id is not its own

    with_ehr(test)


def test_a_message_that_is_about_no_one_course_says_so_and_nothing_else(with_ehr):
    async def test(api, ehr, course):
        assert status(await ehr.notify("client.deceased", {"client_ref": "EHR-9"})) == "waiting"
        (seen,) = await messages(api)
        assert seen["why"] == "It could not be matched to one course here. A person decides."

    with_ehr(test)


def test_a_source_reads_its_own_messages_alone(with_ehr):
    async def test(api, ehr, course):
        south = await Ehr.register(api, "south", "bearer")
        visit = {"resourceType": "Encounter", "id": "S1", "status": "cancelled", "subject": {"reference": "Patient/EHR-1"}}
        assert status(await south.fhir(visit, "POST")) == "waiting"
        assert await messages(api) == []
        await bind(api, "south")
        (seen,) = await messages(api)
        assert (seen["type"], seen["resource"], seen["status"]) == ("fhir.Encounter", "Encounter/S1", "waiting")
        assert await messages(api, "?status=applied") == []

    with_ehr(test)


def test_messages_are_paged_in_order_and_filtered_and_the_read_is_recorded(with_ehr):
    async def test(api, ehr, course):
        sent = [(await ehr.notify("consent.given", CONSENT)).json()["id"] for _ in range(2)]
        api.clinic.clock.advance(dt.timedelta(hours=1))
        since = api.clinic.clock.now().isoformat()
        sent += [(await ehr.notify("client.deceased", {"client_ref": f"EHR-{n}"})).json()["id"] for n in range(7, 10)]
        first = (await api.get(f"{URL}?limit=3", "ehr")).json()
        rest = (await api.get(f"{URL}?limit=3&cursor={first['next']}", "ehr")).json()
        assert [each["id"] for each in first["items"] + rest["items"]] == sent
        assert rest["next"] is None
        assert [each["id"] for each in await messages(api, f"?since={since.replace('+', '%2B')}")] == sent[2:]
        assert [each["id"] for each in await messages(api, "?status=applied")] == sent[:2]
        for query in ("?status=lost", "?since=yesterday", "?limit=0"):
            assert (await api.get(URL + query, "ehr")).status_code == 422
        records = (await api.get("/v1/audit?kind=read", "auditor")).json()["items"]
        reads = [each for each in records if each["action"] == "messages"]
        assert [each["courses"] for each in reads] == [[course], [], [], [course]]
        assert {each["actor"]["person"] for each in reads} == {"ehr-1"}

    with_ehr(test)


def test_a_token_of_no_source_and_that_of_a_disabled_source_read_nothing(with_ehr):
    async def test(api, ehr, course):
        await Sources(api.clinic).disable(OPERATOR, "north")
        disabled = await api.get(URL, "ehr")
        await bind(api, None)
        unbound = await api.get(URL, "ehr")
        for answer in (disabled, unbound):
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
            assert "token of your source" in answer.json()["detail"]

    with_ehr(test)


def test_a_token_is_bound_only_in_the_role_ehr_and_to_a_source_that_exists(with_ehr):
    async def test(api, ehr, course):
        tokens = api.services.tokens
        for new in (
            NewToken(role="therapist", name="t", source="north"),
            NewToken(role="ehr", name="e", source="south"),
            NewToken(role="ehr", name="e", source="\x00"),
        ):
            with pytest.raises(CommandInvalid, match="source:"):
                await tokens.create(OPERATOR, new)
        assert [each.source for each in await tokens.list(OPERATOR) if each.source] == ["north"]

    with_ehr(test)

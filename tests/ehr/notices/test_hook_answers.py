"""The FHIR rest-hooks answer in FHIR, in the form that the sender prefers. Every answer is read by HAPI's rules and two validators."""

import datetime as dt
import json
import typing
from pathlib import Path

import pytest
from support import fhir_validators, hapi_rules
from support.ehr_sender import Ehr, course, inbox, resolve, started
from support.fhir_bodies import at, encounter, form
from support.hapi_rules import DataFormatException, ServerResponseException

from ipt_workflow.ehr.notices import content, outcomes
from ipt_workflow.errors import Busy
from ipt_workflow.runtime.clock import VirtualClock

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
BACKPORT = Path(__file__).parents[2] / "vectors" / "fhir-backport"
FHIR = "application/fhir+json"
VALID = {"resourceType": "Medication", "id": "M1"}  # of a kind that is never read
UNREAD = {"resourceType": "Encounter", "id": 7}


@pytest.fixture
def hooked(api):
    def run(test, kind="bearer", **source):
        async def inside(api):
            ehr = await Ehr.register(api, kind=kind, **source)
            await started(api)
            return await test(api, ehr)

        return api(inside, VirtualClock(START))

    return run


def vector(name: str) -> dict:
    return json.loads((BACKPORT / f"Bundle-r4-notification-{name}.json").read_text(encoding="utf-8"))


async def sent(ehr, resource, method="PUT", path=None, accept=FHIR, **headers):
    return await ehr.fhir(resource, method, path, accept=accept, **headers)


def issues(answer, status: int) -> list[tuple[str, str, str]]:
    """The issues of an answer that HAPI's client and both validators accept."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == FHIR
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert fhir_validators.faults([body]) == [[]]
    assert hapi_rules.parsed(answer.text) == body
    return [(each["severity"], each["code"], each["details"]["text"]) for each in body["issue"]]


def entries(answer) -> list[str]:
    """The status of each entry of a response Bundle that HAPI's client and both validators accept."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == FHIR
    body = answer.json()
    assert hapi_rules.bundle(answer) == body
    assert fhir_validators.faults([body]) == [[]]
    return [each["response"]["status"] for each in body.get("entry", ())]


def bundle(kind: str, *resources, deletes=()) -> dict:
    puts = [{"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}} for each in resources]
    gone = [{"request": {"method": "DELETE", "url": url}} for url in deletes]
    return {"resourceType": "Bundle", "type": kind, "entry": [*puts, *gone]}


async def fill_inbox(api, ehr) -> None:
    """Lets one notice wait, which is all that the inbox takes."""
    api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 1})
    assert issues(await sent(ehr, encounter("X", status="planed")), 202)


# One resource


def test_a_resource_that_is_applied_waits_or_is_ignored_says_so(hooked):
    async def test(api, ehr):
        applied = await sent(ehr, encounter())
        assert issues(applied, 200) == [("information", "informational", "Applied")]
        issue = applied.json()["issue"][0]
        assert issue["diagnostics"] == "It is in the journal."
        (extension,) = issue["extension"]
        found = (await api.get(f"/v1/notices/{extension['valueString']}", "supervisor")).json()
        assert (extension["url"], found["status"]) == ("urn:ipt-workflow:StructureDefinition:notice", "applied")
        assert issue["details"]["coding"] == [{"system": "urn:ipt-workflow:CodeSystem:notice-status", "code": "applied"}]
        assert issues(await sent(ehr, encounter("E2", status="planed")), 202) == [("warning", "processing", "Waiting")]
        ignored = await sent(ehr, VALID)
        assert issues(ignored, 200) == [("information", "informational", "Ignored")]
        issue = ignored.json()["issue"][0]
        assert issue["diagnostics"] == "Resources of this kind are never read."
        assert issue["extension"] == [{"url": "urn:ipt-workflow:StructureDefinition:notice-reason", "valueString": "kind"}]

    hooked(test)


def test_each_thing_and_each_remark_is_an_issue(hooked):
    async def test(_api, ehr):
        without_item_9 = await sent(ehr, form([1] * 8))
        assert [each[2] for each in issues(without_item_9, 200)] == ["Applied", "Remark"]
        merged = {"resourceType": "Patient", "id": "EHR-1", "deceasedBoolean": True,
                  "link": [{"other": {"reference": "Patient/EHR-7"}, "type": "replaced-by"}]}  # fmt: skip
        assert [each[2] for each in issues(await sent(ehr, merged), 202)] == ["Waiting", "Waiting"]

    hooked(test)


def test_a_deletion_and_a_hook_without_a_payload_are_answered_too(hooked):
    async def test(_api, ehr):
        assert issues(await sent(ehr, encounter()), 200)
        assert issues(await sent(ehr, None, "DELETE", "/Encounter/E1"), 200) == [("information", "informational", "Applied")]
        assert issues(await sent(ehr, None, "DELETE", "/Encounter/E9"), 200) == [("information", "informational", "Ignored")]
        nothing = await sent(ehr, None, "POST")
        assert issues(nothing, 200) == [("information", "informational", "Ignored")]
        assert nothing.json()["issue"][0]["diagnostics"] == "There is nothing to do."

    hooked(test)


def test_hapis_client_takes_every_answer_to_a_resource(hooked):
    async def test(_api, ehr):
        for resource in (encounter(), encounter("E2", status="planed"), VALID):
            assert hapi_rules.outcome(await sent(ehr, resource))["resourceType"] == "OperationOutcome"
            assert hapi_rules.outcome(await sent(ehr, resource, prefer="return=minimal")) is None
        answer = await sent(
            ehr, bundle("transaction", encounter("E3")), "POST", accept="application/fhir+json;q=1.0, application/json+fhir;q=0.9"
        )
        assert hapi_rules.bundle(answer)["type"] == "transaction-response"
        with pytest.raises(ServerResponseException, match="HTTP 422: id: must be the id"):
            hapi_rules.outcome(await sent(ehr, encounter("E4"), path="/Encounter/E5"))

    hooked(test)


def test_hapis_client_cannot_read_our_own_json(hooked):
    async def test(_api, ehr):
        with pytest.raises(DataFormatException, match="resourceType"):
            hapi_rules.outcome(await sent(ehr, encounter(), accept="application/json"))

    hooked(test)


# Accept


@pytest.mark.parametrize(
    ("accept", "query"),
    [("", ""), ("*/*", ""), (FHIR, ""), (f"{FHIR}, application/json", ""), (f"application/json;q=0.5, {FHIR}", ""), ("text/html", ""),
     ("application/fhir+xml", ""), ("application/json;q=0", ""), ("application/json", "?_format=json"),
     ("application/fhir+json;q=1.0, application/json+fhir;q=0.9", "")],
)  # fmt: skip
def test_a_sender_that_does_not_ask_for_our_json_is_answered_in_fhir(hooked, accept, query):
    async def test(_api, ehr):
        assert issues(await sent(ehr, encounter(), path=f"/Encounter/E1{query}", accept=accept), 200)
        assert issues(await sent(ehr, encounter(), path=f"/Encounter/E2{query}", accept=accept), 422)

    hooked(test)


@pytest.mark.parametrize("accept", ["application/json", "Application/JSON; charset=utf-8", f"application/json, {FHIR};q=0.4", "application/json, text/plain, */*"])  # fmt: skip
def test_a_sender_that_asks_for_our_json_gets_it(hooked, accept):
    async def test(_api, ehr):
        answer = await sent(ehr, encounter(), accept=accept, prefer="return=minimal")
        assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
        assert answer.content == json.dumps({"id": answer.json()["id"], "status": "applied"}, separators=(",", ":")).encode()
        several = await sent(ehr, bundle("batch", VALID), "POST", accept=accept)
        expected = b'{"id":null,"status":"ignored","kind":"batch","entries":[{"resource":"Medication/M1","status":"ignored","id":null,"reason":"kind"}]}'
        assert (several.status_code, several.content) == (202, expected)
        refused = await sent(ehr, encounter(), path="/Encounter/E2", accept=accept)
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")

    hooked(test)


def test_headers_that_come_several_times_count_as_one(hooked):
    async def test(api, ehr):
        path, headers = "/v1/ehr/fhir/north/Encounter/E1", {"authorization": f"Bearer {ehr.secret}", "content-type": FHIR}
        several = [
            *headers.items(),
            ("accept", "application/json"),
            ("accept", FHIR),
            ("prefer", "handling=lenient"),
            ("prefer", "return=minimal"),
        ]
        answer = await api.client.put(path, json=encounter(), headers=several)
        assert (answer.status_code, answer.content) == (204, b"")

    hooked(test)


# Prefer


def test_a_sender_that_prefers_minimal_gets_an_empty_success(hooked):
    async def test(_api, ehr):
        for resource, status in ((encounter(), 204), (encounter("E2", status="planed"), 202), (VALID, 204)):
            answer = await sent(ehr, resource, prefer="respond-async, return=minimal; x=1")
            assert (answer.status_code, answer.content, answer.headers["preference-applied"]) == (status, b"", "return=minimal")
        assert issues(await sent(ehr, encounter(), path="/Encounter/E9", prefer="return=minimal"), 422)

    hooked(test)


def test_a_sender_that_prefers_the_representation_gets_back_what_it_sent(hooked):
    async def test(_api, ehr):
        answer = await sent(ehr, encounter(), prefer='return="representation"')
        assert (answer.status_code, answer.json()) == (200, encounter())
        assert answer.headers["preference-applied"] == "return=representation"
        assert answer.headers["content-type"] == FHIR
        assert hapi_rules.outcome(answer) == encounter()
        assert issues(await sent(ehr, None, "DELETE", "/Encounter/E1", prefer="return=representation"), 200)
        assert issues(await sent(ehr, bundle("collection", VALID), "POST", prefer="return=representation"), 200)

    hooked(test)


def test_medplums_deletion_has_no_representation(hooked):
    async def test(_api, ehr):
        headers = {"x-medplum-interaction": "delete", "x-medplum-deleted-resource": "Encounter/E1"}
        assert issues(await sent(ehr, {}, "POST", "", prefer="return=representation", **headers), 200)

    hooked(test, kind="x-signature")


@pytest.mark.parametrize(("prefer", "applied"), [("return=OperationOutcome", "return=OperationOutcome"), ("return=everything", None), ("handling=strict", None)])  # fmt: skip
def test_any_other_preference_is_answered_with_an_outcome(hooked, prefer, applied):
    async def test(_api, ehr):
        answer = await sent(ehr, encounter(), prefer=prefer)
        assert issues(answer, 200)
        assert answer.headers.get("preference-applied") == applied

    hooked(test)


# Bundles


def test_a_batch_is_answered_entry_by_entry_in_order(hooked):
    async def test(_api, ehr):
        batch = bundle("batch", VALID, UNREAD, encounter(), encounter("E2", status="planed"), deletes=["Encounter/E9"])
        batch["entry"] += [{"request": {"method": "GET", "url": "Encounter/E1"}}, {}]
        answer = await sent(ehr, batch, "POST")
        assert entries(answer) == [
            "200 OK",
            "422 Unprocessable Entity",
            "200 OK",
            "202 Accepted",
            "200 OK",
            "405 Method Not Allowed",
            "200 OK",
        ]
        body = answer.json()
        assert body["type"] == "batch-response"
        outcome = body["entry"][1]["response"]["outcome"]["issue"][0]
        assert (outcome["severity"], "Encounter.id" in outcome["diagnostics"]) == ("error", True)

    hooked(test)


def test_in_a_transaction_what_waits_counts_as_kept(hooked):
    async def test(api, ehr):
        conditional = "Encounter?identifier=http://example.org/Encounter/E1"
        transaction = bundle("transaction", encounter(), UNREAD, encounter("E2", status="planed"), deletes=[conditional])
        answer = await sent(ehr, transaction, "POST")
        assert entries(answer) == ["200 OK", "202 Accepted", "202 Accepted", "202 Accepted"]
        assert answer.json()["type"] == "transaction-response"
        assert len(await inbox(api)) == 3
        assert entries(await sent(ehr, transaction, "POST")) == ["200 OK", "202 Accepted", "202 Accepted", "202 Accepted"]
        assert len(await inbox(api)) == 3

    hooked(test)


def test_a_deletion_may_name_its_resource_by_an_address(hooked):
    async def test(api, ehr):
        course_id = (await api.get("/v1/courses", "supervisor")).json()["items"][0]["id"]
        assert entries(await sent(ehr, bundle("batch", encounter()), "POST")) == ["200 OK"]
        deletion = bundle("batch", deletes=["https://ehr.example.org/fhir/Encounter/E1"])
        assert entries(await sent(ehr, deletion, "POST")) == ["200 OK"]
        assert (await course(api, course_id))["sessions"] == []

    hooked(test)


@pytest.mark.parametrize(
    "request_", [7, {}, {"method": ["GET"]}, {"method": {}, "url": 7}, {"method": "DELETE"}, {"method": "DELETE", "url": {}}]
)
def test_a_request_that_makes_no_sense_spoils_nothing(hooked, request_):
    async def test(_api, ehr):
        batch = bundle("batch", encounter())
        batch["entry"].append({"request": request_})
        assert entries(await sent(ehr, batch, "POST"))[0] == "200 OK"

    hooked(test)


def test_a_preference_shapes_the_entries_of_a_bundle(hooked):
    async def test(_api, ehr):
        batch = bundle("batch", VALID, UNREAD)
        minimal = await sent(ehr, batch, "POST", prefer="return=minimal")
        assert entries(minimal) == ["200 OK", "422 Unprocessable Entity"]
        assert ["outcome" in each["response"] for each in minimal.json()["entry"]] == [False, True]
        whole = await sent(
            ehr, bundle("transaction", encounter(), deletes=["Encounter/E9"]), "POST", prefer="return=representation"
        )
        assert entries(whole) == ["200 OK", "200 OK"]
        assert [each.get("resource") for each in whole.json()["entry"]] == [encounter(), None]
        assert entries(await sent(ehr, {"resourceType": "Bundle", "type": "batch"}, "POST", prefer="return=representation")) == []

    hooked(test)


@pytest.mark.parametrize("kind", ["collection", "message", "document", "searchset"])
def test_any_other_bundle_is_answered_with_an_outcome_of_every_entry(hooked, kind):
    async def test(_api, ehr):
        answer = await sent(ehr, bundle(kind, VALID, encounter("E2", status="planed")), "POST")
        assert [each[2] for each in issues(answer, 202)] == ["Ignored", "Waiting"]
        assert [each["expression"] for each in answer.json()["issue"]] == [["Bundle.entry[0]"], ["Bundle.entry[1]"]]

    hooked(test)


@pytest.mark.parametrize(
    ("name", "status", "texts"), [("handshake", 200, ["Ignored"]), ("heartbeat", 200, ["Ignored"]), ("id-only", 202, ["Waiting"]), ("empty", 202, ["Waiting"])]
)  # fmt: skip
def test_a_notification_is_answered_with_an_outcome(hooked, name, status, texts):
    async def test(_api, ehr):
        answer = await sent(ehr, vector(name), "POST")
        assert [each[2] for each in issues(answer, status)][-1:] == texts

    hooked(test)


# What is refused


def test_every_error_is_an_outcome(hooked):
    async def test(api, ehr):
        client, source = api.client, "/v1/ehr/fhir/north"
        bearer = {"authorization": f"Bearer {ehr.secret}"}
        kinds = {
            "login": await client.put(f"{source}/Encounter/E1", json=encounter(), headers={"authorization": "Bearer nonsense"}),
            "structure": await sent(ehr, b"{", path="/Encounter/E1"),
            "value": await sent(ehr, {"resourceType": "Bundle", "type": "batch", "entry": 7}, "POST"),
            "not-found": await client.get(f"{source}/Encounter/E1/x", headers=bearer),
            "not-supported": await client.patch(f"{source}/Encounter/E1", json={}, headers=bearer),
            "too-long": await sent(ehr, b" " * (api.clinic.settings.notice_bytes_max + 1), path="/Encounter/E1"),
        }
        statuses = {"login": 401, "structure": 400, "value": 422, "not-found": 404, "not-supported": 405, "too-long": 413}
        for code, answer in kinds.items():
            assert [each[1] for each in issues(answer, statuses[code])] == [code]
            with pytest.raises(ServerResponseException):
                hapi_rules.outcome(answer)
        assert kinds["login"].headers["www-authenticate"].startswith("Bearer")
        assert kinds["not-supported"].headers["allow"]
        media = await sent(ehr, encounter(), **{"content-type": "application/fhir+xml"})
        assert [each[1] for each in issues(media, 415)] == ["not-supported"]

    hooked(test)


def test_an_error_says_the_same_as_our_problem_document(hooked):
    async def test(_api, ehr):
        outcome = (await sent(ehr, encounter(), path="/Encounter/E2")).json()["issue"][0]
        problem = (await sent(ehr, encounter("E3"), path="/Encounter/E4", accept="application/json")).json()
        assert outcome["details"]["text"] == problem["title"]
        (fault,) = problem["errors"]
        assert outcome["diagnostics"] == f"{fault['where']}: {fault['message']}"

    hooked(test)


def test_a_used_message_id_is_a_conflict(hooked):
    async def test(_api, ehr):
        for resource, status in ((encounter(), 200), (encounter(version=2), 409)):
            raw = json.dumps(resource).encode()
            answer = await ehr.post("/v1/ehr/fhir/north", raw, {**ehr.signed(raw, "msg_1"), "content-type": FHIR})
            found = issues(answer, status)
        assert found == [("error", "conflict", "Notice id reused")]

    hooked(test, kind="standard-webhooks")


def test_a_full_inbox_is_transient_and_says_when_to_come_again(hooked):
    async def test(api, ehr):
        await fill_inbox(api, ehr)
        answer = await sent(ehr, encounter("E2", status="planed"))
        assert issues(answer, 503) == [("error", "transient", "Busy")]
        assert answer.headers["retry-after"] == "1"

    hooked(test)


def test_a_full_inbox_refuses_one_entry_of_a_batch_and_the_whole_of_a_transaction(hooked):
    async def test(api, ehr):
        await fill_inbox(api, ehr)
        course_id = (await api.get("/v1/courses", "supervisor")).json()["items"][0]["id"]
        waits = encounter("E2", status="planed")
        assert issues(await sent(ehr, bundle("transaction", waits, encounter()), "POST"), 503)
        assert (await course(api, course_id))["sessions"] == []
        batch = await sent(ehr, bundle("batch", waits, encounter()), "POST")
        assert entries(batch) == ["503 Service Unavailable", "200 OK"]
        assert batch.json()["entry"][0]["response"]["outcome"]["issue"][0]["code"] == "transient"
        assert len((await course(api, course_id))["sessions"]) == 1
        own = await sent(ehr, bundle("batch", waits), "POST", accept="application/json")
        assert (own.status_code, own.headers["retry-after"]) == (503, "1")
        assert issues(await sent(ehr, bundle("collection", waits), "POST"), 503)
        (notice,) = await inbox(api)
        await resolve(api, notice["id"], action="dismiss", reason="A test.")
        assert entries(await sent(ehr, bundle("transaction", waits, encounter()), "POST")) == ["202 Accepted", "200 OK"]

    hooked(test)


def test_a_transaction_that_speaks_of_risk_is_kept_by_a_full_inbox(hooked):
    async def test(api, ehr):
        await fill_inbox(api, ehr)
        risk = form([0] * 8 + [3], subject={"reference": "Patient/EHR-9"})
        answer = await sent(ehr, bundle("transaction", risk, encounter("E2", status="planed")), "POST")
        assert entries(answer) == ["202 Accepted", "202 Accepted"]
        assert len(await inbox(api)) == 3

    hooked(test)


def test_a_transaction_that_reads_or_patches_is_refused_whole(hooked):
    async def test(api, ehr):
        course_id = (await api.get("/v1/courses", "supervisor")).json()["items"][0]["id"]
        transaction = bundle("transaction", encounter())
        transaction["entry"].append(
            {"request": {"method": "PATCH", "url": "Encounter/E1"}, "resource": {"resourceType": "Parameters"}}
        )
        answer = await sent(ehr, transaction, "POST")
        assert issues(answer, 422)
        assert answer.json()["issue"][0]["diagnostics"] == "Bundle.entry[1].request.method: must be POST, PUT or DELETE"
        assert (await course(api, course_id))["sessions"] == []

    hooked(test)


def test_an_event_that_could_not_be_kept_is_not_taken_for_the_last_one(hooked, monkeypatch):
    async def test(api, ehr):
        await sent(ehr, vector("handshake"), "POST")
        await fill_inbox(api, ehr)
        assert issues(await sent(ehr, vector("id-only"), "POST"), 503)
        (notice,) = await inbox(api)
        await resolve(api, notice["id"], action="dismiss", reason="A test.")
        api.clinic.settings = api.clinic.settings.model_copy(update={"notices_waiting_max": 10})
        assert issues(await sent(ehr, vector("id-only"), "POST"), 202)
        assert "fhir.Encounter" in {each["type"] for each in await inbox(api)}

    hooked(test)


def test_an_entry_of_a_transaction_that_the_store_cannot_take_refuses_it_whole_until_it_is_sent_again(hooked, monkeypatch):
    async def test(api, ehr):
        notices = api.services.notices
        take, refusals = notices.take, [Busy("The database is busy. Try again.")]

        async def busy_once(sender, message, request_id):
            if refusals and b"E2" in message.body:
                raise refusals.pop()
            return await take(sender, message, request_id)

        monkeypatch.setattr(notices, "take", busy_once)
        transaction = bundle("transaction", encounter(), encounter("E2", period={"start": at(9), "end": at(9, minutes=45)}))
        assert issues(await sent(ehr, transaction, "POST"), 503)
        assert entries(await sent(ehr, transaction, "POST")) == ["200 OK", "200 OK"]
        course_id = (await api.get("/v1/courses", "supervisor")).json()["items"][0]["id"]
        assert len((await course(api, course_id))["sessions"]) == 2

    hooked(test)


def test_an_entry_that_the_service_fails_on_is_refused_and_the_others_are_taken(hooked, monkeypatch):
    async def test(api, ehr):
        notices = api.services.notices
        take = notices.take

        async def broken(sender, message, request_id):
            if b"E2" in message.body:
                raise RuntimeError("EHR-1 said something")
            return await take(sender, message, request_id)

        monkeypatch.setattr(notices, "take", broken)
        later = [encounter(f"E{number}", period={"start": at(number)}) for number in (2, 9)]
        answer = await sent(ehr, bundle("batch", encounter("E1", period={"start": at(1)}), *later), "POST")
        assert entries(answer) == ["200 OK", "503 Service Unavailable", "200 OK"]
        assert "EHR-1 said" not in answer.text

    hooked(test)


def test_every_reason_has_its_words():
    assert set(typing.get_args(content.Ignored)) <= set(outcomes.REASONS)

"""Bundles: two whole synthetic patients, and notifications of the R4 backport of subscriptions, from the published examples."""

import collections
import copy
import datetime as dt
import json
import tracemalloc
from pathlib import Path

import pytest
from support.ehr_sender import Ehr, course, inbox, resolve, started, status
from support.fhir_bodies import appointment, at, encounter, form

from ipt_workflow.ehr.notices import fhir_notifications
from ipt_workflow.ehr.notices.fhir_notifications import gaps
from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import notices as stored

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
VECTORS = Path(__file__).parents[2] / "vectors"
SYNTHEA = sorted((VECTORS / "synthea").glob("*.json"))
SUBSCRIPTION = "https://example.org/fhir/Subscription/admission"


def vector(name: str) -> dict:
    return json.loads((VECTORS / "fhir-backport" / f"Bundle-r4-notification-{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def hooked(api):
    def run(test, kind="bearer", **source):
        async def inside(api):
            return await test(api, await Ehr.register(api, kind=kind, **source))

        return api(inside, VirtualClock(START))

    return run


# Whole patients


@pytest.mark.parametrize("path", SYNTHEA, ids=lambda path: path.stem.partition("_")[0])
def test_a_synthetic_patient_is_taken_in_whole_with_a_report_of_every_entry(hooked, path):
    bundle = json.loads(path.read_text(encoding="utf-8"))
    patient = next(each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == "Patient")

    async def test(api, ehr):
        course_id = await started(api, patient["id"])
        report = (await ehr.fhir(bundle, "POST")).json()
        assert [entry["resource"].partition("/")[0] for entry in report["entries"]] == [
            each["resource"]["resourceType"] for each in bundle["entry"]
        ]
        became = collections.Counter((entry["resource"].partition("/")[0], entry["status"]) for entry in report["entries"])
        waits = [key for key in became if key[1] == "waiting"]
        assert waits == ([("Patient", "waiting")] if "deceasedDateTime" in patient else [])
        assert all(status == "ignored" for (kind, status) in became if kind != "Patient")  # none of it is IPT
        found = await course(api, course_id)
        assert (found["sessions"], found["measures"], found["state"]) == ([], {}, "initial")
        version = found["version"]
        assert (await ehr.fhir(bundle, "POST")).json() == report
        assert (await course(api, course_id))["version"] == version

    hooked(test)


@pytest.mark.parametrize("path", SYNTHEA, ids=lambda path: path.stem.partition("_")[0])
def test_what_is_ipts_in_a_synthetic_patient_becomes_sessions_and_measures(hooked, path):
    """Uses the same bundles, with visits coded as IPT and a form among their entries."""
    bundle = json.loads(path.read_text(encoding="utf-8"))
    patient = next(each["resource"] for each in bundle["entry"] if each["resource"]["resourceType"] == "Patient")
    subject = {"reference": f"urn:uuid:{patient['id']}"}
    ours = [
        encounter("ipt-1", subject=subject, period={"start": at(2), "end": at(2, minutes=50)}),
        encounter("ipt-2", subject=subject, period={"start": at(9), "end": at(9, minutes=50)}),
        form([1] * 8 + [1], "ipt-3", subject=subject, authored=at(2)),
    ]
    places = (0, len(bundle["entry"]) // 2, len(bundle["entry"]))
    for place, resource in zip(places, ours, strict=True):
        bundle["entry"].insert(place, {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}})

    async def test(api, ehr):
        course_id = await started(api, patient["id"])
        report = (await ehr.fhir(bundle, "POST")).json()
        applied = [entry["resource"] for entry in report["entries"] if entry["status"] == "applied"]
        assert sorted(applied) == ["Encounter/ipt-1", "Encounter/ipt-2", "QuestionnaireResponse/ipt-3"]
        found = await course(api, course_id)
        assert (len(found["sessions"]), found["measures"]["phq9@1"]["count"], "risk" in found["attention"]) == (2, 1, True)

    hooked(test)


def test_a_bundle_deletes_what_it_says_and_reports_what_is_wrong(hooked):
    async def test(api, ehr):
        course_id = await started(api)
        first = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"resource": encounter()}, {"resource": {"resourceType": "Encounter", "id": 7}}, {}],
        }
        report = (await ehr.fhir(first, "POST")).json()
        assert [(entry["resource"], entry["status"]) for entry in report["entries"]] == [
            ("Encounter/E1", "applied"),
            ("Encounter/7", "waiting"),
            ("", "ignored"),
        ]
        assert "Encounter.id" in report["entries"][1]["problem"]
        assert report["status"] == "waiting"
        second = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": "Encounter/E1"}}],
        }
        assert (await ehr.fhir(second, "POST")).json()["entries"][0]["status"] == "applied"
        assert (await course(api, course_id))["sessions"] == []

    hooked(test)


def test_a_signed_bundle_is_known_by_its_id_and_its_entries_by_their_versions(hooked):
    async def test(api, ehr):
        course_id = await started(api)
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": encounter()}]}
        raw = json.dumps(bundle).encode()
        headers = {**ehr.signed(raw, "msg_b"), "content-type": "application/fhir+json", "accept": "application/json"}
        for _ in range(2):
            answer = await ehr.post("/v1/ehr/fhir/north", raw, headers)
            assert status(answer) == "applied"
        other = json.dumps({**bundle, "entry": []}).encode()
        reused = await ehr.post(
            "/v1/ehr/fhir/north", other, {**ehr.signed(other, "msg_b"), "content-type": "application/fhir+json"}
        )
        assert reused.status_code == 409
        assert len((await course(api, course_id))["sessions"]) == 1

    hooked(test, kind="standard-webhooks")


# Notifications


def notification(number: int, *resources: dict, kind: str = "event-notification", reached: int | None = None) -> dict:
    """A notification of one event, made from the published example of a full one."""
    made = vector("full-resource")
    parameters = {p["name"]: p for p in made["entry"][0]["resource"]["parameter"]}
    parameters["type"]["valueCode"] = kind
    parameters["events-since-subscription-start"]["valueString"] = str(number if reached is None else reached)
    part = {"name": "event-number", "valueString": str(number)}
    names = [f"https://example.org/fhir/{r['resourceType']}/{r['id']}" for r in resources]
    events = [
        {"name": "notification-event", "part": [part, {"name": "focus", "valueReference": {"reference": name}}]} for name in names
    ]
    others = [p for p in made["entry"][0]["resource"]["parameter"] if p["name"] != "notification-event"]
    made["entry"][0]["resource"]["parameter"] = [*others, *events]
    made["entry"][1:] = [{"fullUrl": name, "resource": resource} for name, resource in zip(names, resources, strict=True)]
    return made


def test_the_published_examples_are_taken(hooked):
    async def test(api, ehr):
        for name, became in (("handshake", []), ("heartbeat", None)):
            report = (await ehr.fhir(vector(name), "POST")).json()
            assert became is None or report["entries"] == became
        full = (await ehr.fhir(vector("full-resource"), "POST")).json()
        assert [(e["resource"], e["status"]) for e in full["entries"] if e["resource"]] == [
            ("Encounter/86009987-eabe-42bf-8c02-b112b18cb616", "ignored")  # under way, and of nobody known
        ]
        named = (await ehr.fhir(vector("id-only"), "POST")).json()
        assert [(e["resource"], e["status"]) for e in named["entries"]] == [
            ("Encounter/86009987-eabe-42bf-8c02-b112b18cb616", "waiting")
        ]
        empty = (await ehr.fhir(vector("empty"), "POST")).json()
        assert [(e["resource"], e["status"]) for e in empty["entries"]] == [("", "waiting")]

    hooked(test)


def test_a_full_notification_is_applied_once(hooked):
    async def test(api, ehr):
        course_id = await started(api)
        for _ in range(2):
            assert status(await ehr.fhir(notification(1, encounter()), "POST")) == "applied"
        assert len((await course(api, course_id))["sessions"]) == 1

    hooked(test)


def test_what_was_only_named_is_corrected_with_what_the_ehr_says(hooked):
    async def test(api, ehr):
        course_id = await started(api)
        bundle = notification(1, encounter())
        bundle["entry"][1:] = []
        assert status(await ehr.fhir(bundle, "POST")) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["type"], waits["resource"]) == ("fhir.Encounter", "Encounter/E1")
        content = {"resource": encounter(), "focus": None}
        done = await resolve(api, waits["id"], "supervisor", action="correct", reason="Read in the EHR.", data=content)
        assert (done.json()["status"], done.json()["why"]) == (
            "waiting",
            "A caller with the role supervisor may not fire record_session; therapist or ehr may.",
        )
        assert status(await ehr.fhir(encounter())) == "applied"  # then the EHR sends the resource itself
        assert await inbox(api) == []
        assert len((await course(api, course_id))["sessions"]) == 1

    hooked(test)


def test_an_event_that_comes_again_late_moves_the_feed_not_back(hooked):
    async def test(api, ehr):
        await started(api)
        assert (await ehr.fhir(vector("handshake"), "POST")).json()["status"] == "ignored"
        events = [notification(number, encounter(f"E{number}", period={"start": at(number)})) for number in (1, 2, 3)]
        for number in (0, 1, 0, 2):
            assert status(await ehr.fhir(events[number], "POST")) == "applied"
        assert await inbox(api) == []

    hooked(test)


def test_an_event_that_did_not_come_waits_as_a_gap_until_it_comes(hooked):
    async def test(api, ehr):
        course_id = await started(api)
        assert (await ehr.fhir(vector("handshake"), "POST")).json()["status"] == "ignored"
        first = notification(1, encounter("E1", period={"start": at(1)}))
        assert status(await ehr.fhir(first, "POST")) == "applied"
        third = notification(3, encounter("E3", period={"start": at(5)}))
        report = (await ehr.fhir(third, "POST")).json()
        assert [(e["resource"], e["status"]) for e in report["entries"]] == [("Encounter/E3", "applied"), ("", "waiting")]
        (gap,) = await inbox(api)
        assert (gap["type"], gap["content"]["missing"]["event"], gap["content"]["missing"]["subscription"]) == (
            "fhir.missing",
            2,
            SUBSCRIPTION,
        )
        second = notification(2, encounter("E2", period={"start": at(3)}), reached=3)
        assert status(await ehr.fhir(second, "POST")) == "applied"
        assert await inbox(api) == []
        assert [s["ref"] for s in (await course(api, course_id))["sessions"]] == ["Encounter/E1", "Encounter/E2", "Encounter/E3"]

    hooked(test)


def test_a_heartbeat_that_counts_further_shows_what_is_missing(hooked):
    async def test(api, ehr):
        await started(api)
        assert status(await ehr.fhir(notification(1, encounter()), "POST")) == "applied"
        beat = copy.deepcopy(vector("heartbeat"))
        counts = next(p for p in beat["entry"][0]["resource"]["parameter"] if p["name"] == "events-since-subscription-start")
        counts["valueString"] = "3"
        assert status(await ehr.fhir(beat, "POST")) == "waiting"
        assert [gap["content"]["missing"]["event"] for gap in await inbox(api)] == [2, 3]
        assert (await ehr.fhir(beat, "POST")).json()["entries"] == []
        counts["valueString"] = "100000"
        assert status(await ehr.fhir(beat, "POST")) == "waiting"
        gaps = [gap["content"]["missing"] for gap in await inbox(api)]
        assert (len(gaps), gaps[-1]["event"], gaps[-1]["to"]) == (102, 103, 100_000)

    hooked(test)


def test_the_greatest_gap_is_told_by_its_ends_alone(hooked, monkeypatch):
    async def test(api, ehr):
        await started(api)
        assert status(await ehr.fhir(notification(1, encounter()), "POST")) == "applied"
        listed = []
        monkeypatch.setattr(fhir_notifications, "gaps", lambda *sent: listed.append(gaps(*sent)) or listed[-1])
        tracemalloc.start()
        assert status(await ehr.fhir(notification(2**31 - 1, encounter("E2")), "POST")) == "waiting"
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
        tracemalloc.stop()
        assert (listed[0][0], listed[0][-1], len(listed[0])) == ((2, 2), (101, 2**31 - 2), 100)

    hooked(test)


def test_a_gap_that_grows_before_it_is_taken_whole_is_no_conflict(hooked, monkeypatch):
    async def test(api, ehr):
        await started(api)
        assert status(await ehr.fhir(notification(1, encounter()), "POST")) == "applied"
        keep = stored.keep_last_event

        def broken(*_values):
            raise DatabaseNotReady("Try again.")

        monkeypatch.setattr(stored, "keep_last_event", broken)
        assert (await ehr.fhir(notification(500, encounter("E2", period={"start": at(3)})), "POST")).status_code == 503
        monkeypatch.setattr(stored, "keep_last_event", keep)
        for _ in range(2):
            answer = await ehr.fhir(notification(600, encounter("E2", period={"start": at(3)})), "POST")
            assert answer.status_code == 202, answer.text
        told = [gap["content"]["missing"] for gap in await inbox(api)]
        assert [(each["event"], each["to"]) for each in told] == [*((n, n) for n in range(2, 101)), (101, 499), (101, 599)]

    hooked(test)


def test_the_first_event_of_a_feed_may_be_one_that_was_asked_for(hooked):
    async def test(api, ehr):
        await started(api)
        again = notification(4, appointment("A4", start=at(20), end=at(20, minutes=50)), kind="query-event", reached=5)
        assert status(await ehr.fhir(again, "POST")) == "applied"
        assert status(await ehr.fhir(notification(6, encounter()), "POST")) == "applied"
        assert await inbox(api) == []

    hooked(test)


def test_events_that_were_asked_for_again_are_no_gap(hooked):
    async def test(api, ehr):
        await started(api)
        assert status(await ehr.fhir(notification(5, encounter()), "POST")) == "applied"
        again = notification(4, appointment("A4", start=at(20), end=at(20, minutes=50)), kind="query-event", reached=5)
        assert status(await ehr.fhir(again, "POST")) == "applied"
        assert await inbox(api) == []

    hooked(test)


@pytest.mark.parametrize(
    ("change", "where"),
    (
        (lambda p: p.update(valueCode="other") if p["name"] == "type" else None, "parameter type"),
        (lambda p: p.pop("valueReference", None), "parameter subscription"),
        (lambda p: p.update(valueString="-1") if "valueString" in p else None, "parameter events-since-subscription-start"),
        (lambda p: p.update(part=[]) if "part" in p else None, "parameter event-number"),
        (lambda p: p.update(name=3), "Bundle.entry[0].resource"),
    ),
)
def test_a_faulty_notification_is_refused_and_kept(hooked, change, where):
    async def test(api, ehr):
        bundle = vector("full-resource")
        for parameter in bundle["entry"][0]["resource"]["parameter"]:
            change(parameter)
        answer = await ehr.fhir(bundle, "POST")
        assert answer.status_code == 422
        assert where in {fault["where"] for fault in answer.json()["errors"]}
        assert [waits["type"] for waits in await inbox(api)] == ["fhir.unreadable"]

    hooked(test)

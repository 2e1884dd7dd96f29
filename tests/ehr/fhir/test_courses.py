"""A course as EpisodeOfCare, CarePlan and PlanDefinition: statuses, phases, versions, history."""

import datetime as dt
import sqlite3
from contextlib import closing

import pytest
from support import databases, fhir_validators

from ipt_workflow.runtime.clock import VirtualClock

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
INITIAL = (
    "record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory", "record_timeline",
    "record_formulation", "accept_formulation", "record_measure", "select_focus", "agree_contract", "assign_sick_role",
)  # fmt: skip


@pytest.fixture
def clocked(api):
    """Runs a test on a clock that it sets; every walked trigger takes an hour."""

    def run(test):
        clock = VirtualClock(START)

        async def inside(open_api):
            async def walk(course, *triggers):
                for trigger in triggers:
                    clock.advance(dt.timedelta(hours=1))
                    answer = await open_api.example(course, trigger)
                    assert answer.status_code == 201, (trigger, answer.text)

            open_api.walk, open_api.clock = walk, clock
            return await test(open_api)

        return api(inside, clock)

    return run


async def fhir(api, path, role="therapist"):
    answer = await api.get(f"/fhir/R4/{path}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


def statuses(episode):
    return [(each["status"], each["period"]["start"], each["period"].get("end")) for each in episode["statusHistory"]]


def at(hours: float) -> str:
    return (START + dt.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_course_is_planned_until_it_is_started_and_active_in_every_phase(clocked):
    async def test(api):
        course = (await api.open())["id"]
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert (episode["status"], episode.get("extension")) == ("planned", None)
        assert episode["period"] == {"start": at(0)}
        await api.walk(course, *INITIAL, "begin_middle")
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert episode["status"] == "active"
        assert episode["extension"][0]["valueCoding"]["code"] == "middle"
        assert statuses(episode) == [("planned", at(0), at(2)), ("active", at(2), None)]

    clocked(test)


def test_pauses_and_endings_stand_in_the_status_history(clocked):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *INITIAL, "begin_middle", "pause", "resume", "end_early")
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        n = len(INITIAL)
        assert statuses(episode) == [
            ("planned", at(0), at(2)),
            ("active", at(2), at(n + 2)),
            ("onhold", at(n + 2), at(n + 3)),
            ("active", at(n + 3), at(n + 4)),
            ("cancelled", at(n + 4), None),
        ]
        assert episode["status"] == "cancelled"
        assert episode["period"] == {"start": at(0), "end": at(n + 4)}
        answer = await api.example(course, "reopen", "supervisor")
        assert answer.status_code == 201, answer.text
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert statuses(episode)[-1] == ("active", at(n + 3), None), "an ending that was taken back never was"
        assert "end" not in episode["period"]

    clocked(test)


def test_a_status_told_late_stands_where_it_occurred(clocked):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        api.clock.advance(dt.timedelta(hours=9))
        answer = await api.fire(course, "start", occurred_at=at(5), data={"suitability": "suitable"})
        assert answer.status_code == 201, answer.text
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert statuses(episode) == [("planned", at(0), at(5)), ("active", at(5), None)]
        assert episode["meta"]["lastUpdated"] == at(10)

    clocked(test)


def test_who_a_course_is_of_and_with(clocked):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]
        episode = await fhir(api, f"EpisodeOfCare/{course}", "ehr")
        assert episode["patient"].pop("reference").startswith("Patient/")
        assert episode["patient"] == {
            "type": "Patient",
            "identifier": {"system": "urn:ipt-workflow:client-ref", "value": "EHR-4711"},
        }
        assert episode["careManager"]["identifier"] == {"system": "urn:ipt-workflow:person", "value": "therapist-1"}
        assert episode["managingOrganization"]["identifier"]["value"] == "default"
        assert episode["identifier"] == [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{course}"}]
        assert episode["type"][0]["coding"][0]["code"] == "443730003"

    clocked(test)


def test_a_client_who_was_erased_is_known_by_our_own_id_alone(clocked, settings):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]
        with closing(sqlite3.connect(databases.path_of(settings))) as connection:
            (client,) = connection.execute("SELECT id FROM client").fetchone()
            connection.execute("UPDATE client SET ref = NULL")
            connection.commit()
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert episode["patient"] == {
            "reference": f"Patient/{client}",
            "type": "Patient",
            "identifier": {"system": "urn:ipt-workflow:client", "value": client},
        }
        assert fhir_validators.faults([episode]) == [[]]

    clocked(test)


# Versions


def test_every_entry_of_the_journal_is_a_version_and_reads_as_it_was(clocked):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session")
        history = await fhir(api, f"EpisodeOfCare/{course}/_history")
        assert (history["type"], history["total"]) == ("history", 4)
        versions = [(entry["resource"]["meta"]["versionId"], entry["resource"]["status"]) for entry in history["entry"]]
        assert versions == [("4", "active"), ("3", "active"), ("2", "planned"), ("1", "planned")]
        assert [entry["request"]["method"] for entry in history["entry"]] == ["PUT", "PUT", "PUT", "POST"]
        assert [entry["response"]["etag"] for entry in history["entry"]] == ['W/"4"', 'W/"3"', 'W/"2"', 'W/"1"']
        for entry in history["entry"]:
            version = entry["resource"]["meta"]["versionId"]
            assert await fhir(api, f"EpisodeOfCare/{course}/_history/{version}") == entry["resource"]
        assert history["entry"][0]["resource"] == await fhir(api, f"EpisodeOfCare/{course}")
        assert fhir_validators.faults([history]) == [[]]

    clocked(test)


def test_history_is_paged_and_narrowed_by_time(clocked):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session", "sign_session")
        path, seen, pages = f"EpisodeOfCare/{course}/_history?_count=2", [], 0
        while path:
            page = await fhir(api, path)
            assert page["total"] == 5
            seen += [entry["resource"]["meta"]["versionId"] for entry in page["entry"]]
            following = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
            path, pages = following.partition("/fhir/R4/")[2], pages + 1
        assert (seen, pages) == (["5", "4", "3", "2", "1"], 3)
        since = await fhir(api, f"EpisodeOfCare/{course}/_history?_since={at(3)}")
        assert [entry["resource"]["meta"]["versionId"] for entry in since["entry"]] == ["5", "4"]
        assert since["total"] == 2

    clocked(test)


@pytest.mark.parametrize("version", ["0", "3", "-1", "x", "99999999999"])
def test_a_version_that_never_was_is_not_found(clocked, version):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        answer = await api.get(f"/fhir/R4/EpisodeOfCare/{course}/_history/{version}")
        assert answer.status_code == 404
        assert answer.json()["issue"][0]["code"] == "not-found"

    clocked(test)


def test_a_read_tells_its_version_and_answers_304_to_who_has_it(clocked):
    async def test(api):
        course = (await api.open())["id"]
        answer = await api.get(f"/fhir/R4/EpisodeOfCare/{course}")
        assert answer.headers["etag"] == 'W/"1"'
        assert answer.headers["last-modified"] == "Mon, 05 Jan 2026 09:00:00 GMT"
        assert answer.headers["content-type"] == "application/fhir+json"
        assert answer.headers["cache-control"] == "no-store"
        known = await api.get(f"/fhir/R4/EpisodeOfCare/{course}", If_None_Match='W/"1"')
        assert (known.status_code, known.content) == (304, b"")
        await api.walk(course, "record_consent")
        changed = await api.get(f"/fhir/R4/EpisodeOfCare/{course}", If_None_Match='W/"1"')
        assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')

    clocked(test)


def test_head_answers_as_get_does_without_the_body(clocked):
    async def test(api):
        course = (await api.open())["id"]
        for path in (f"EpisodeOfCare/{course}", "EpisodeOfCare", "metadata"):
            got = await api.get(f"/fhir/R4/{path}")
            head = await api.client.head(f"/fhir/R4/{path}", headers=api.headers("therapist"))
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            assert head.headers.get("etag") == got.headers.get("etag")

    clocked(test)


def test_another_therapists_course_is_not_there(api, settings):
    async def test(api):
        course = (await api.open())["id"]
        stranger = await open_as(api, "therapist-2")
        for path in (f"EpisodeOfCare/{course}", f"CarePlan/{course}", f"EpisodeOfCare/{course}/_history", f"Provenance/{course}.1"):
            answer = await api.client.get(f"/fhir/R4/{path}", headers=stranger)
            assert answer.status_code == 404, path
        found = await api.client.get(f"/fhir/R4/EpisodeOfCare?_id={course}", headers=stranger)
        assert found.json().get("entry") is None
        assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "supervisor")).status_code == 200
        assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "admin")).status_code == 403

    api(test)


async def open_as(api, person: str) -> dict[str, str]:
    from support.http_client import OPERATOR

    from ipt_workflow.service.access.tokens import NewToken

    created = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name=person))
    return {"Authorization": f"Bearer {created.token}"}


# The plan


def activities(plan):
    return {each["detail"]["code"]["coding"][0]["code"]: each["detail"]["status"] for each in plan["activity"]}


def test_a_plan_has_an_activity_for_every_phase_which_goes_where_the_course_goes(clocked):
    async def test(api):
        course = (await api.open())["id"]

        async def plan():
            return await fhir(api, f"CarePlan/{course}")

        assert (await plan())["status"] == "draft"
        assert activities(await plan()) == {"initial": "not-started", "middle": "not-started", "final": "not-started"}
        await api.walk(course, "record_consent", "start")
        assert activities(await plan()) == {"initial": "in-progress", "middle": "not-started", "final": "not-started"}
        await api.walk(course, *INITIAL[2:], "begin_middle", "record_session")
        now = await plan()
        assert activities(now) == {"initial": "completed", "middle": "in-progress", "final": "not-started"}
        n = len(INITIAL)
        assert [each["detail"].get("scheduledPeriod") for each in now["activity"]] == [
            {"start": at(2), "end": at(n + 1)},
            {"start": at(n + 1)},
            None,
        ]
        sessions = [each["reference"] for each in now["activity"][1]["outcomeReference"]]
        assert sessions == [f"Encounter/{course}.{n + 3}"]
        await api.walk(course, "sign_session", "pause")
        assert ((await plan())["status"], activities(await plan())["middle"]) == ("on-hold", "on-hold")
        await api.walk(course, "end_early")
        assert (await plan())["status"] == "revoked"
        assert activities(await plan()) == {"initial": "completed", "middle": "stopped", "final": "cancelled"}
        assert fhir_validators.faults([now, await plan()]) == [[], []]

    clocked(test)


def test_the_plan_names_its_protocol_which_can_be_found_by_that_name(clocked):
    async def test(api):
        course = (await api.open())["id"]
        (canonical,) = (await fhir(api, f"CarePlan/{course}"))["instantiatesCanonical"]
        url, _, version = canonical.partition("|")
        found = await fhir(api, f"PlanDefinition?url={url}&version={version}")
        (definition,) = [entry["resource"] for entry in found["entry"]]
        assert definition == await fhir(api, "PlanDefinition/ipt.2")
        assert [action["id"] for action in definition["action"]] == ["initial", "middle", "final"]
        assert [each["actionId"] for each in definition["action"][2]["relatedAction"]] == ["middle"]
        required = {each["title"]: each["requiredBehavior"] for each in definition["action"][0]["action"]}
        assert (required["contract"], required["timeline"]) == ("must", "must-unless-documented")
        assert [
            each["id"]
            for each in [entry["resource"] for entry in (await fhir(api, "CarePlan?instantiates-canonical=" + url))["entry"]]
        ] == [course]

    clocked(test)


def test_a_course_taken_over_in_the_middle_has_its_first_phase_behind_it(clocked):
    async def test(api):
        body = {
            "client_ref": "EHR-1", "protocol": "ipt", "trigger": "adopt", "therapist": "therapist-1", "reason": "Moved here.",
            "data": {"source": "Another clinic", "phase": "middle", "attended": {"initial": 2, "middle": 3}, "consent": ["treatment"],
                     "artefacts": ["evaluation", "history", "inventory", "formulation", "acceptance"],
                     "focus": {"primary": "grief"}, "contract": {"sessions": 12, "weeks": 12}},
        }  # fmt: skip
        answer = await api.post("/v1/courses", body, "supervisor")
        assert answer.status_code == 201, answer.text
        course = answer.json()["course"]["id"]
        plan = await fhir(api, f"CarePlan/{course}")
        assert activities(plan) == {"initial": "completed", "middle": "in-progress", "final": "not-started"}
        assert "scheduledPeriod" not in plan["activity"][0]["detail"]
        episode = await fhir(api, f"EpisodeOfCare/{course}")
        assert statuses(episode) == [("active", at(0), None)]
        provenance = await fhir(api, f"Provenance/{course}.1")
        assert provenance["activity"]["coding"][0]["code"] == "CREATE"
        assert fhir_validators.faults([plan, episode, provenance]) == [[], [], []]

    clocked(test)

"""Firing, looking, telling late, amending, and a history that anybody can check with nothing but SHA-256 and RFC 8785."""

import asyncio
import datetime as dt
import hashlib
import json
from typing import Any

import httpx
import msgspec
import pytest
import rfc8785
from support.http_client import START, Api
from support.service_walk import THERAPIST

from ipt_workflow.course.triggers import Command
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.writes import Write

CONSENT = {"trigger": "record_consent", "data": {"scope": "treatment"}}
STARTED = {"trigger": "start"}
NOTE = {"trigger": "note", "data": {"text": "Prefers mornings."}}
HELD = {"trigger": "record_session", "data": {"attendance": "5"}}
SIGNED = {"trigger": "sign_session", "data": {"session": {"together": 2}}}
FIRST_PHASE = (
    *("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory"),
    *("record_timeline", "record_formulation", "accept_formulation", "assign_sick_role", "select_focus", "agree_contract"),
)
DAY = dt.timedelta(days=1)


def at(day: float) -> str:
    """So many days after the start, as a client would write it."""
    return (START + DAY * day).isoformat()


async def post(api: Api, course: str, body: Any, role: str = "therapist", query: str = "") -> httpx.Response:
    return await api.post(f"/v1/courses/{course}/transitions{query}", body, role, If_Match=f'"{await api.version(course)}"')


async def fired(api: Api, course: str, body: Any, role: str = "therapist") -> dict[str, Any]:
    answer = await post(api, course, body, role)
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: httpx.Response) -> dict[str, Any]:
    """The refusals by rule."""
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/transition-refused"), answer.text
    return {refusal["rule"]: refusal for refusal in answer.json()["refusals"]}


def invalid(answer: httpx.Response) -> set[str]:
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid"), answer.text
    return {fault["where"] for fault in answer.json()["errors"]}


async def course_at(api: Api, course: str, **when: str) -> dict[str, Any]:
    answer = await api.client.get(f"/v1/courses/{course}", params=when, headers=api.headers("therapist"))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def entries(api: Api, course: str) -> list[dict[str, Any]]:
    return (await api.get(f"/v1/courses/{course}/transitions?limit=200")).json()["items"]


async def audit(api: Api, course: str, **sought: str) -> list[dict[str, Any]]:
    """What the audit log has on a course, but for what the tests themselves read."""
    body = {"course": course, "limit": 200, **sought}
    return (await api.post("/v1/audit/search", body, "auditor")).json()["items"]


# Firing


def test_a_fired_trigger_is_answered_with_its_entry_the_course_and_the_new_version(api):
    async def test(api):
        opened = await api.post(
            "/v1/courses", {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner"}}
        )
        course = opened.json()["course"]["id"]
        assert opened.headers["location"] == f"/v1/courses/{course}"
        assert opened.json()["course"].items() <= (await api.get(opened.headers["location"])).json().items()
        answer = await post(api, course, CONSENT)
        assert answer.status_code == 201
        assert set(answer.json()) == {"entry", "course"}
        assert answer.headers["etag"] == (await api.get(f"/v1/courses/{course}")).headers["etag"] == '"2"'
        entry = answer.json()["entry"]
        assert entry == (await api.get(f"/v1/courses/{course}/transitions/2")).json()
        assert (entry["seq"], entry["trigger"], entry["from"], entry["to"]) == (2, "record_consent", "referred", "referred")
        assert entry["actor"] == {"person": "therapist-1", "role": "therapist", "via": "api"}
        assert answer.json()["course"].items() <= (await api.get(f"/v1/courses/{course}")).json().items()
        moved = (await fired(api, course, STARTED))["entry"]
        assert (moved["from"], moved["to"]) == ("referred", "initial")

    api(test, VirtualClock(START))


def test_only_what_is_never_blocked_needs_no_version(api):
    async def test(api):
        rows = (await api.get("/v1/triggers")).json()["items"]
        course = (await api.open())["id"]
        named = {"record_supervision": {"supervisor": "supervisor-1", "supervisees": ["therapist-1"]}}  # people of this clinic
        for row in sorted(rows, key=lambda row: row["trigger"] == "end_early"):
            role = "therapist" if "therapist" in row["roles"] else "supervisor"
            body = {"trigger": row["trigger"], "data": row["data_schema"]["examples"][0], "reason": "Agreed."}
            body["data"] |= named.get(row["trigger"], {})
            answer = await api.post(f"/v1/courses/{course}/transitions", body, role)
            assert answer.status_code == (201 if row["never_blocked"] else 428), (row["trigger"], answer.text)
        free = {row["trigger"] for row in rows if row["never_blocked"]}
        assert free == {"record_contact", "record_measure", "raise_risk", "review_risk", "note", "refer_on", "end_early",
                        "record_consent", "withdraw_consent", "record_supervision"}  # fmt: skip
        assert [entry["trigger"] for entry in await entries(api, course)][-1] == "end_early"

    api(test)


def test_an_override_is_kept_on_the_entry_with_the_rules_that_it_passed_over(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE, "record_measure")
        assert set(refused(await post(api, course, {"trigger": "begin_middle"}))) == {"baseline_of_every_aim"}
        override = {"rules": ["baseline_of_every_aim", "final_attended"], "reason": "The scales did not arrive."}
        entry = (await fired(api, course, {"trigger": "begin_middle", "override": override}))["entry"]
        assert entry["override"] == override
        assert json.loads(entry["canonical"])["overridden"] == ["baseline_of_every_aim"]
        assert "did not arrive" not in entry["canonical"]
        assert (await course_at(api, course))["overrides"] == 1

    api(test)


def test_naming_a_hard_rule_changes_nothing_and_an_unknown_one_is_invalid(api):
    async def test(api):
        course = (await api.open())["id"]
        named = {**STARTED, "override": {"rules": ["consent_given"], "reason": "In a hurry."}}
        assert set(refused(await post(api, course, named))) == {"consent_given"}
        unknown = {**STARTED, "override": {"rules": ["consent"], "reason": "In a hurry."}}
        assert invalid(await post(api, course, unknown)) == {"override.rules[0]"}

    api(test)


# Together


def test_several_together_are_one_write_in_the_order_they_were_told(api):
    async def test(api):
        course = (await api.open())["id"]
        answer = await post(api, course, {"together": [CONSENT, STARTED, HELD, NOTE]})
        assert answer.status_code == 201
        assert set(answer.json()) == {"entries", "course"}
        written = answer.json()["entries"]
        assert [(entry["seq"], entry["trigger"]) for entry in written] == [
            (2, "record_consent"), (3, "start"), (4, "record_session"), (5, "note"),
        ]  # fmt: skip
        assert [entry["from"] for entry in written] == ["referred", "referred", "initial", "initial"]
        assert written == (await entries(api, course))[1:]
        assert answer.headers["etag"] == '"5"'
        assert answer.json()["course"]["counters"]["attended"]["initial"] == 1
        assert set(await fired(api, course, {"together": [NOTE]})) == {"entries", "course"}

    api(test)


def test_together_all_are_written_or_none(api):
    async def test(api):
        course = (await api.open())["id"]
        before = await course_at(api, course)
        answer = await post(api, course, {"together": [CONSENT, STARTED, {"trigger": "begin_middle"}, NOTE]})
        assert "evaluation_recorded" in refused(answer)
        assert (answer.json()["trigger"], answer.json()["version"]) == ("begin_middle", 1)
        assert await course_at(api, course) == before
        assert len(await entries(api, course)) == 1
        assert [each["action"] for each in await audit(api, course, kind="refusal")] == ["begin_middle"]
        assert "together[1].data.text" in invalid(await post(api, course, {"together": [CONSENT, {"trigger": "note"}]}))
        assert await course_at(api, course) == before

    api(test, VirtualClock(START))


def test_a_command_names_the_entry_of_an_earlier_one_by_its_place(api):
    async def test(api):
        course = (await api.open())["id"]
        body = {"together": [CONSENT, STARTED, HELD, SIGNED]}
        tried = await post(api, course, body, query="?dry_run=true")
        assert (tried.json()["option"]["allowed"], tried.json()["option"]["example"]["together"][3]["data"]) == (
            True,
            SIGNED["data"],
        )
        written = (await fired(api, course, body))["entries"]
        assert written[3]["data"] == written[3]["structural"] == {"session": written[2]["seq"]} == {"session": 4}

    api(test)


def test_a_request_with_references_is_written_once_and_answered_twice(api):
    async def test(api):
        course = (await api.open())["id"]
        body = {"together": [CONSENT, STARTED, HELD, SIGNED]}
        path = f"/v1/courses/{course}/transitions"
        first = await api.post(path, body, If_Match='"1"', Idempotency_Key="evening")
        second = await api.post(path, body, If_Match='"1"', Idempotency_Key="evening")
        assert (second.json(), second.headers["idempotent-replayed"]) == (first.json(), "true")
        assert len(await entries(api, course)) == 5

    api(test)


def test_a_reference_names_the_entry_that_is_written_even_if_others_write_meanwhile(api):
    async def test(api):
        course = (await api.open())["id"]
        await fired(api, course, {"together": [CONSENT, STARTED]})
        commands = tuple(msgspec.convert(each, Command) for each in (NOTE, HELD, {**SIGNED, "data": {"session": {"together": 1}}}))
        write = Write(decode=lambda: commands, triggers=tuple(each.trigger for each in commands), version_required=False)
        notes = [api.post(f"/v1/courses/{course}/transitions", NOTE) for _ in range(5)]
        await asyncio.gather(*notes, api.services.courses.fire(THERAPIST, course, write))
        recorded = {entry["trigger"]: entry for entry in await entries(api, course)}
        assert recorded["sign_session"]["data"] == {"session": recorded["record_session"]["seq"]}

    api(test)


def test_bad_references_are_named_with_every_other_fault(api):
    async def test(api):
        course = (await api.open())["id"]
        later, alone = (
            {"together": [SIGNED, CONSENT, STARTED, HELD]},
            {"trigger": "sign_session", "data": {"session": {"together": 0}}},
        )
        assert invalid(await post(api, course, later)) == {"together[0].data.session"}
        assert invalid(await post(api, course, alone)) == {"data.session"}
        both = {"together": [HELD, {**SIGNED, "data": {"session": {"together": 0}, "summary": ""}, "bogus": 1}]}
        assert invalid(await post(api, course, both)) == {"together[1].bogus", "together[1].data.summary"}

    api(test)


@pytest.mark.parametrize("trigger", ("change_protocol", "relink_client", "open_followup", "move_entries"))
def test_what_concerns_more_than_one_course_is_fired_alone(api, trigger):
    async def test(api):
        course = (await api.open())["id"]
        role = "supervisor" if trigger == "relink_client" else "therapist"
        answer = await post(api, course, {"together": [NOTE, {"trigger": trigger}]}, role)
        assert "together[1].trigger" in invalid(answer)  # beside what its data lack

    api(test)


# Late entries


def test_a_late_entry_is_recorded_now_and_counts_where_it_happened(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE, *["record_measure"] * 3)
        clock.advance(DAY * 7)
        await api.walk(course, "begin_middle")
        clock.advance(DAY)
        answer = await fired(api, course, {**HELD, "occurred_at": at(3)})
        entry = answer["entry"]
        assert entry["seq"] == answer["course"]["version"]
        assert dt.datetime.fromisoformat(entry["occurred_at"]) == START + DAY * 3
        assert dt.datetime.fromisoformat(entry["recorded_at"]) == clock.now()
        assert (entry["from"], entry["to"]) == ("initial", "initial")
        assert answer["course"]["counters"]["attended"] == {"initial": 2, "middle": 0, "final": 0}
        assert answer["course"]["state"] == "middle"

    api(test, clock)


def test_a_late_entry_that_later_ones_do_not_allow_is_refused_with_what_would_break(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE, *["record_measure"] * 3)
        for _ in range(2):
            clock.advance(DAY * 7)
            await api.walk(course, "record_session", "sign_session")
        held = [entry["seq"] for entry in await entries(api, course) if entry["trigger"] == "record_session"]
        refusal = refused(await post(api, course, {**HELD, "occurred_at": at(3)}))["later_entries_hold"]
        assert [(each["seq"], each["trigger"]) for each in refusal["breaks"]] == [(held[-1], "record_session")]
        assert [each["rule"] for each in refusal["breaks"][0]["refusals"]] == ["phase_session_cap"]

    api(test, clock)


def test_what_is_never_blocked_is_kept_late_and_marks_what_it_contradicts(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        clock.advance(DAY * 7)
        await api.walk(course, "record_session")
        session = await api.version(course)
        ending = {"end_code": "47", "last_contact": "2026-01-07", "risk_status": "none", "attempts": 1}
        late = await fired(api, course, {"trigger": "end_early", "data": ending, "reason": "Moved away.", "occurred_at": at(2)})
        assert late["course"]["state"] == "ended_early"
        assert late["course"]["contradicted"] == [session]
        history = await entries(api, course)
        assert [entry["contradicted_by"] for entry in history] == [None, None, None, late["entry"]["seq"], None]

    api(test, clock)


@pytest.mark.parametrize(("ahead", "taken"), ((-1, -1), (0, 0), (300, 0)))
def test_a_clock_that_runs_a_little_ahead_is_taken_for_now(api, ahead, taken):
    async def test(api):
        course = (await api.open())["id"]
        occurred_at = START + dt.timedelta(hours=1, seconds=ahead)
        api.clinic.clock.advance(dt.timedelta(hours=1))
        entry = (await fired(api, course, {**NOTE, "occurred_at": occurred_at.isoformat()}))["entry"]
        assert dt.datetime.fromisoformat(entry["occurred_at"]) == START + dt.timedelta(hours=1, seconds=taken)

    api(test, VirtualClock(START))


def test_what_lies_ahead_or_before_the_course_was_opened_is_invalid(api):
    async def test(api):
        course = (await api.open())["id"]
        for when in (START + dt.timedelta(seconds=301), START - dt.timedelta(seconds=1)):
            assert invalid(await post(api, course, {**NOTE, "occurred_at": when.isoformat()})) == {"occurred_at"}
        booking = {"trigger": "book_session", "data": {"scheduled_for": at(7)}, "occurred_at": at(1)}
        assert (await fired(api, course, booking))["entry"]["occurred_at"] == "2026-01-06T09:00:00Z"

    api(test, VirtualClock(START))


def test_a_clock_that_runs_ahead_records_before_what_lies_ahead(api):
    async def test(api):
        course = (await api.open())["id"]
        ahead = {
            "trigger": "book_session",
            "data": {"scheduled_for": at(7)},
            "occurred_at": (START + dt.timedelta(seconds=60)).isoformat(),
        }
        await fired(api, course, ahead)
        entry = (await fired(api, course, {**NOTE, "occurred_at": (START + dt.timedelta(seconds=120)).isoformat()}))["entry"]
        assert dt.datetime.fromisoformat(entry["occurred_at"]) == START

    api(test, VirtualClock(START))


def test_a_clock_that_is_put_back_never_makes_an_entry_older_than_the_one_before(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        clock.advance(DAY)
        await fired(api, course, NOTE)
        clock.set(START)
        await fired(api, course, NOTE)
        recorded = [entry["recorded_at"] for entry in await entries(api, course)]
        assert recorded == sorted(recorded)
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(test, clock)


# Amending


def test_an_amendment_says_what_the_entry_should_have_said_and_both_are_kept(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        clock.advance(DAY)
        missed = await fired(api, course, {"trigger": "record_session", "data": {"attendance": "3", "comment": "Nobody came."}})
        seq = missed["entry"]["seq"]
        clock.advance(DAY)
        patch = {"trigger": "amend", "data": {"supersedes": seq, "data": {"attendance": "6"}}, "reason": "Came late."}
        amended = await fired(api, course, patch)
        assert amended["course"]["counters"]["attended"]["initial"] == 1
        assert amended["entry"]["data"]["data"]["comment"] == "Nobody came."  # a patch changes what it names
        old = (await api.get(f"/v1/courses/{course}/transitions/{seq}")).json()
        assert (old["superseded_by"], old["data"]["attendance"], old["hash"]) == (seq + 1, "3", missed["entry"]["hash"])
        assert (await course_at(api, course, as_of=at(1)))["counters"]["attended"]["initial"] == 1
        assert (await course_at(api, course, known_at=at(1)))["counters"]["attended"]["initial"] == 0

    api(test, clock)


def test_a_voided_entry_acts_no_more(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session")
        void = {"trigger": "amend", "data": {"supersedes": 4, "void": True}, "reason": "Of another client."}
        voided = await fired(api, course, void)
        assert (voided["course"]["sessions"], voided["course"]["counters"]["attended"]["initial"]) == ([], 0)
        assert (await entries(api, course))[3]["superseded_by"] == 5
        for data in ({"supersedes": 4}, {"supersedes": 4, "void": True, "data": {}}):
            assert invalid(await post(api, course, {**void, "data": data})) == {"data"}
        opening = {**void, "data": {"supersedes": 1, "void": True}}
        assert refused(await post(api, course, opening, "supervisor"))

    api(test)


def test_what_changed_the_state_is_amended_with_a_supervisor(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        void = {"trigger": "amend", "data": {"supersedes": 3, "void": True}, "reason": "Too early."}
        assert set(refused(await post(api, course, void))) == {"amendment_agreed"}
        proposal = await api.post(f"/v1/courses/{course}/proposals", void, If_Match='"3"')
        assert proposal.status_code == 201, proposal.text
        answer = await api.post(f"/v1/proposals/{proposal.json()['id']}/cosign", role="supervisor")
        assert answer.json()["course"]["state"] == "referred"
        assert (answer.json()["entry"]["actor"]["person"], answer.json()["entry"]["cosigned_by"]) == ("therapist-1", "supervisor-1")

    api(test)


# Looking


def test_a_dry_run_says_what_would_become_of_it_and_leaves_one_read_behind(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        before, log = await course_at(api, course), await audit(api, course)
        answer = await post(api, course, STARTED, query="?dry_run=true")
        assert answer.status_code == 200
        assert "etag" not in answer.headers
        assert set(answer.json()) == {"option", "course"}
        option = answer.json()["option"]
        assert (option["trigger"], option["allowed"], option["to"], option["refusals"]) == ("start", True, "initial", [])
        assert (answer.json()["course"]["state"], answer.json()["course"]["version"]) == ("initial", 3)
        assert await course_at(api, course) == before
        new = [each for each in (await audit(api, course))[len(log) :] if each["action"] not in {"course", "audit"}]
        assert [(each["kind"], each["action"], each["actor"]["person"]) for each in new] == [("read", "preview", "therapist-1")]

    api(test, VirtualClock(START))


def test_a_dry_run_of_what_would_be_refused_is_200_and_no_refusal(api):
    async def test(api):
        course = (await api.open())["id"]
        before = await course_at(api, course)
        for body in (STARTED, {"together": [NOTE, STARTED]}):
            answer = await post(api, course, body, query="?dry_run=true")
            assert answer.status_code == 200
            option = answer.json()["option"]
            assert (option["trigger"], option["allowed"]) == ("start", False)
            assert [refusal["rule"] for refusal in option["refusals"]] == ["consent_given"]
            assert answer.json()["course"].items() <= before.items()
        assert await audit(api, course, kind="refusal") == []
        assert "ipt_refusals_total{" not in (await api.get("/metrics", "auditor")).text
        assert refused(await post(api, course, STARTED)) == {"consent_given": option["refusals"][0]}
        assert len(await audit(api, course, kind="refusal")) == 1
        assert "ipt_refusals_total{" in (await api.get("/metrics", "auditor")).text

    api(test, VirtualClock(START))


def test_a_course_is_read_as_it_was_and_as_it_was_known(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        clock.advance(DAY)
        await api.walk(course, "record_consent", "start")
        clock.advance(DAY * 9)
        await fired(api, course, {**HELD, "occurred_at": at(5)})

        async def attended(**when: str) -> tuple[str, int]:
            seen = await course_at(api, course, **when)
            return seen["state"], seen["counters"]["attended"]["initial"]

        assert await attended(as_of=at(0.5)) == ("referred", 0)
        assert await attended(as_of=at(4.9)) == ("initial", 0)
        assert await attended(as_of=at(5)) == ("initial", 1)
        assert await attended(known_at=at(9)) == ("initial", 0)
        assert await attended(as_of=at(5), known_at=at(9)) == ("initial", 0)
        assert await attended(as_of=at(5), known_at=at(10)) == ("initial", 1)
        assert await attended(as_of="2026-01-10T10:00:00+01:00") == ("initial", 1)
        for when in ("as_of", "known_at"):
            answer = await api.client.get(f"/v1/courses/{course}", params={when: at(-1)}, headers=api.headers("therapist"))
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
            answer = await api.client.get(f"/v1/courses/{course}", params={when: "2026-01-10"}, headers=api.headers("therapist"))
            assert invalid(answer) == {when}

    api(test, clock)


# The journal


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def a_history(api: Api) -> tuple[str, list[dict[str, Any]]]:
    """A course with umlauts, a reason, an override, a late entry, an amendment, a cosigner and another client."""
    course = (await api.open())["id"]
    await api.walk(course, *FIRST_PHASE, "record_measure")
    await fired(api, course, {"trigger": "note", "data": {"text": 'Größe "5" \\ \u2028 \U0001f642'}, "reason": "Überweisung\n"})
    override = {"rules": ["baseline_of_every_aim"], "reason": "The scales did not arrive."}
    await fired(api, course, {"trigger": "begin_middle", "override": override})
    await fired(api, course, {**NOTE, "occurred_at": (await entries(api, course))[2]["occurred_at"]})
    amend = {
        "trigger": "amend",
        "data": {"supersedes": 2, "occurred_at": (await entries(api, course))[1]["occurred_at"]},
        "reason": "So.",
    }
    proposal = await api.post(f"/v1/courses/{course}/proposals", amend, If_Match=f'"{await api.version(course)}"')
    assert (await api.post(f"/v1/proposals/{proposal.json()['id']}/cosign", role="supervisor")).status_code == 201
    relink = {"trigger": "relink_client", "data": {"kind": "wrong_client", "client_ref": "EHR-2"}, "reason": "Mixed up."}
    await fired(api, course, relink, "supervisor")
    return course, await entries(api, course)


def test_anybody_can_check_the_history_with_sha_256_and_rfc_8785(api):
    async def test(api):
        course, history = await a_history(api)
        prev = "0" * 64
        for seq, entry in enumerate(history, start=1):
            canonical = entry["canonical"].encode()
            assert sha256(canonical) == entry["hash"]
            hashed = json.loads(canonical)
            assert rfc8785.dumps(hashed) == canonical
            assert (hashed["seq"], hashed["prev_hash"], entry["prev_hash"]) == (seq, prev, prev)
            sealed = rfc8785.dumps({"data": entry["data"], "reason": entry["reason"], "override": entry["override"]})
            assert sha256(bytes.fromhex(entry["salt"]) + sealed) == entry["data_digest"] == hashed["data_digest"]
            same = ("id", "seq", "trigger", "from", "to", "actor", "cosigned_by", "protocol_digest", "data_digest", "prev_hash")
            assert {name: hashed[name] for name in same} == {name: entry[name] for name in same}
            for name in ("occurred_at", "recorded_at"):
                assert dt.datetime.fromisoformat(hashed[name]) == dt.datetime.fromisoformat(entry[name])
            assert hashed["data"] == entry["structural"]
            assert (hashed["organisation"], hashed["course"]) == (api.clinic.organisation, course)
            prev = entry["hash"]
        assert (await api.get(f"/v1/courses/{course}")).json()["head"] == prev
        verified = (await api.get(f"/v1/audit/verify?course={course}", "auditor")).json()
        assert (verified["ok"], verified["checked"], verified["first_bad"]) == (True, len(history), None)

    api(test)


def test_what_is_hashed_says_nothing_that_was_told_in_words(api):
    async def test(api):
        _, history = await a_history(api)
        hashed = "".join(entry["canonical"] for entry in history)
        for words in ("Größe", "Überweisung", "did not arrive", "Mixed up", "General practitioner", "EHR-1", "EHR-2", "Retired"):
            assert words not in hashed
        assert all("EHR-2" not in json.dumps(entry["data"]) for entry in history)
        assert len({entry["salt"] for entry in history}) == len(history)

    api(test)


def test_a_positive_item_entered_by_mistake_is_not_amended_away(api):
    """`clinical.md`, case 4: a therapist alone neither voids the answer nor signs before a review."""

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        session = (await api.fire(course, "record_session", {"attendance": "5"})).json()["entry"]["seq"]
        phq9 = await api.fire(course, "record_measure", {"instrument": "phq9", "items": [2] * 8 + [3]})
        void = {
            "trigger": "amend",
            "data": {"supersedes": phq9.json()["entry"]["seq"], "void": True},
            "reason": "Typed on the wrong line.",
        }
        answer = await api.fire(course, void["trigger"], void["data"], reason=void["reason"])
        assert [each["rule"] for each in answer.json()["refusals"]] == ["amendment_agreed"]
        sign = ("sign_session", {"session": session})
        answer = await api.fire(course, *sign)
        assert [each["rule"] for each in answer.json()["refusals"]] == ["risk_reviewed"]

        proposed = await api.post(f"/v1/courses/{course}/proposals", void, If_Match=f'"{await api.version(course)}"')
        answer = await api.post(f"/v1/proposals/{proposed.json()['id']}/cosign", role="supervisor")
        assert answer.status_code == 201, answer.text
        assert answer.json()["course"]["measures"] == {}
        assert "risk" in answer.json()["course"]["attention"]
        assert (await api.fire(course, *sign)).status_code == 409
        answer = await api.fire(course, "review_risk", {"level": "none", "plan": "Asked again: no thoughts of that kind."})
        assert answer.status_code == 201, answer.text
        assert (await api.fire(course, *sign)).status_code == 201

    api(test)

"""Co-signature over HTTP: a therapist proposes, a supervisor decides, and the journal names both."""

import asyncio
import re

import httpx
from support.http_client import OPERATOR

from ipt_workflow.service.access.tokens import NewToken

EXTEND = {"trigger": "extend_phase", "reason": "One more session is needed."}
SHAPE = {
    "id", "course", "version", "trigger", "status", "proposed_by", "proposed_at", "decided_by", "decided_at", "entry_seq", "command",
}  # fmt: skip


def problem(answer: httpx.Response, status: int, slug: str) -> dict:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    return answer.json()


def rules(answer: httpx.Response) -> set[str]:
    return {refusal["rule"] for refusal in problem(answer, 409, "transition-refused")["refusals"]}


async def begun(api, ref: str = "EHR-1", **more: object) -> str:
    course = (await api.open(ref, **more))["id"]
    if not more:
        await api.walk(course, "record_consent", "start")
    return course


async def propose(api, course: str, body: object = EXTEND, role: str = "therapist", version: int | None = None) -> httpx.Response:
    version = await api.version(course) if version is None else version
    return await api.post(f"/v1/courses/{course}/proposals", body, role, If_Match=f'"{version}"')


async def proposed(api, course: str, role: str = "therapist") -> str:
    answer = await propose(api, course, role=role)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def cosign(api, proposal: str, role: str = "supervisor", **more: str) -> httpx.Response:
    return await api.client.post(f"/v1/proposals/{proposal}/cosign", headers=api.headers(role, **more))


async def decline(api, proposal: str, role: str = "supervisor") -> httpx.Response:
    return await api.client.post(f"/v1/proposals/{proposal}/decline", headers=api.headers(role))


async def another(api, role: str, person: str) -> str:
    """A second person in a role; their key among the tokens."""
    tokens = api.application.litestar.state.tokens
    api.tokens[person] = (await tokens.create(OPERATOR, NewToken(role=role, name=person, subject=person))).token
    return person


def test_what_needs_a_second_signature_is_proposed_and_changes_nothing_yet(api):
    async def test(api):
        course = await begun(api)
        assert rules(await api.fire(course, **EXTEND)) == {"supervisor_agrees"}
        before = (await api.get(f"/v1/courses/{course}")).json()
        answer = await propose(api, course)
        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == SHAPE
        assert (made["course"], made["version"], made["trigger"]) == (course, 3, "extend_phase")
        assert (made["status"], made["proposed_by"], made["decided_by"], made["entry_seq"]) == (
            "waiting",
            "therapist-1",
            None,
            None,
        )
        assert made["command"] == EXTEND
        assert (await api.get(f"/v1/courses/{course}")).json() == before

    api(test)


def test_a_cosigned_proposal_is_fired_in_the_name_of_who_proposed_it_and_its_entry_names_who_cosigned(api):
    async def test(api):
        course = await begun(api)
        answer = await cosign(api, await proposed(api, course))
        assert answer.status_code == 201, answer.text
        entry = answer.json()["entry"]
        assert (entry["seq"], entry["trigger"], entry["reason"]) == (4, "extend_phase", EXTEND["reason"])
        assert (entry["actor"]["person"], entry["actor"]["role"]) == ("therapist-1", "therapist")
        assert entry["cosigned_by"] == "supervisor-1"
        assert '"cosigned_by":"supervisor-1"' in entry["canonical"]
        assert answer.headers["etag"] == '"4"'
        assert answer.json()["course"]["version"] == 4
        assert (await api.get(f"/v1/courses/{course}/transitions/4")).json() == entry
        decided = (await api.get("/v1/proposals")).json()["items"][0]
        assert (decided["status"], decided["decided_by"], decided["entry_seq"]) == ("cosigned", "supervisor-1", 4)
        assert decided["command"] is None  # the entry has it
        record = (await api.get("/v1/audit?kind=transition&trigger=extend_phase", "auditor")).json()["items"][0]
        assert (record["actor"]["person"], record["cosigned_by"], record["hash"]) == ("therapist-1", "supervisor-1", entry["hash"])

    api(test)


def test_a_declined_proposal_is_over_and_fires_nothing(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        answer = await decline(api, proposal)
        assert answer.status_code == 200
        declined = answer.json()
        assert set(declined) == SHAPE
        assert (declined["status"], declined["decided_by"], declined["entry_seq"], declined["command"]) == (
            "declined",
            "supervisor-1",
            None,
            None,
        )
        for again in (await cosign(api, proposal), await decline(api, proposal)):
            assert problem(again, 412, "stale-version")["version"] == 3
        assert await api.version(course) == 3

    api(test)


def test_nobody_decides_a_proposal_of_their_own(api):
    async def test(api):
        await another(api, "therapist", "supervisor-1")  # one person in two roles
        mine = (await api.open("EHR-2", therapist="supervisor-1"))["id"]
        for trigger in ("record_consent", "start"):
            body = {"trigger": trigger, "data": {"scope": "treatment"} if trigger == "record_consent" else {}}
            fired = await api.post(f"/v1/courses/{mine}/transitions", body, "supervisor-1", If_Match=f'"{await api.version(mine)}"')
            assert fired.status_code == 201, fired.text
        proposal = await proposed(api, mine, "supervisor-1")
        for refused in (await cosign(api, proposal), await decline(api, proposal)):
            assert "their own proposal" in problem(refused, 403, "forbidden")["detail"]
        assert (await cosign(api, proposal, await another(api, "supervisor", "supervisor-2"))).status_code == 201

    api(test)


def test_only_a_supervisor_decides_and_only_those_who_treat_propose(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        for role in ("therapist", "auditor", "ehr"):
            problem(await cosign(api, proposal, role), 403, "forbidden")
            problem(await decline(api, proposal, role), 403, "forbidden")
        for role in ("auditor", "ehr"):
            assert (await propose(api, course, role=role)).status_code == 403
        refused = (await api.get("/v1/audit?kind=refusal&actor=therapist-1", "auditor")).json()["items"]
        assert {(record["action"], record["rules"][0]) for record in refused} == {("decide proposals", "role")}
        assert (await api.get("/v1/proposals?status=waiting", "supervisor")).json()["items"][0]["id"] == proposal

    api(test)


def test_a_proposal_is_void_once_the_course_has_moved_on(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        await api.walk(course, "record_evaluation")
        assert problem(await cosign(api, proposal), 412, "stale-version")["version"] == 4
        assert (await decline(api, proposal)).status_code == 200  # it can be put away
        again = await proposed(api, course)
        assert (await cosign(api, again)).json()["entry"]["seq"] == 5

    api(test)


def test_what_would_pass_without_a_signature_is_not_proposed_and_what_would_not_pass_with_one_is_refused(api):
    async def test(api):
        course = await begun(api)
        answer = problem(await propose(api, course, {"trigger": "note", "data": {"text": "x"}}), 422, "invalid")
        assert [fault["where"] for fault in answer["errors"]] == ["trigger"]
        assert "focus_selected" in rules(await propose(api, course, {"trigger": "begin_middle"}))
        faults = problem(await propose(api, course, {"trigger": "extend_phase", "data": {"more": 1}}), 422, "invalid")["errors"]
        assert {fault["where"] for fault in faults} == {"reason", "data.more"}
        together = problem(await propose(api, course, {"together": [EXTEND, EXTEND]}), 422, "invalid")
        assert [fault["where"] for fault in together["errors"]] == ["together"]
        assert (await api.get("/v1/proposals", "supervisor")).json()["items"] == []

    api(test)


def test_a_proposal_is_pinned_to_the_version_that_is_named(api):
    async def test(api):
        course = await begun(api)
        problem(await api.post(f"/v1/courses/{course}/proposals", EXTEND), 428, "version-required")
        assert problem(await propose(api, course, version=2), 412, "stale-version")["version"] == 3
        problem(await api.post("/v1/courses/unknown/proposals", EXTEND, If_Match='"3"'), 404, "not-found")
        hidden = await begun(api, "EHR-2", therapist="therapist-2")
        problem(await propose(api, hidden), 404, "not-found")

    api(test)


def test_proposals_are_listed_by_status_and_only_to_those_who_may_see_the_course(api):
    async def test(api):
        await another(api, "therapist", "therapist-2")
        mine = [await proposed(api, await begun(api, f"EHR-{number}")) for number in range(3)]
        theirs = (await api.open("EHR-9", therapist="therapist-2"))["id"]
        for body in ({"trigger": "record_consent", "data": {"scope": "treatment"}}, {"trigger": "start"}):
            await api.post(f"/v1/courses/{theirs}/transitions", body, "therapist-2", If_Match=f'"{await api.version(theirs)}"')
        other = await proposed(api, theirs, "therapist-2")
        assert (await cosign(api, mine[0])).status_code == 201
        assert (await decline(api, mine[1])).status_code == 200

        async def listed(query: str = "", role: str = "supervisor") -> list[str]:
            answer = await api.get(f"/v1/proposals{query}", role)
            assert answer.status_code == 200, answer.text
            return [item["id"] for item in answer.json()["items"]]

        assert await listed() == [*mine, other]
        assert await listed("", "auditor") == [*mine, other]
        assert await listed("", "therapist") == mine
        assert await listed("", "therapist-2") == [other]
        assert await listed("?status=waiting") == [mine[2], other]
        assert await listed("?status=cosigned") == [mine[0]]
        assert await listed("?status=declined") == [mine[1]]
        assert await listed("?status=waiting", "therapist") == [mine[2]]
        first = await api.get("/v1/proposals?limit=3", "supervisor")
        assert [item["id"] for item in first.json()["items"]] == mine
        url = re.fullmatch(r'<([^>]+)>; rel="next"', first.headers["link"])[1]
        assert [item["id"] for item in (await api.get(url, "supervisor")).json()["items"]] == [other]
        for role in ("ehr", "admin"):
            problem(await api.get("/v1/proposals", role), 403, "forbidden")
        problem(await cosign(api, other, "therapist"), 404, "not-found")
        problem(await cosign(api, "unknown"), 404, "not-found")
        problem(await decline(api, "unknown"), 404, "not-found")

    api(test)


def test_of_two_supervisors_who_decide_at_once_one_is_first(api):
    async def test(api):
        second = await another(api, "supervisor", "supervisor-2")
        for number in range(4):
            course = await begun(api, f"EHR-{number}")
            proposal = await proposed(api, course)
            answers = await asyncio.gather(cosign(api, proposal), cosign(api, proposal, second))
            assert sorted(answer.status_code for answer in answers) == [201, 412]
            won = next(answer for answer in answers if answer.status_code == 201)
            decided = next(each for each in (await api.get("/v1/proposals")).json()["items"] if each["id"] == proposal)
            assert decided["decided_by"] == won.json()["entry"]["cosigned_by"]
            assert await api.version(course) == 4
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(test)


def test_a_supervisor_who_cosigns_while_another_declines_either_fires_it_or_does_not(api):
    async def test(api):
        second = await another(api, "supervisor", "supervisor-2")
        for number in range(4):
            course = await begun(api, f"EHR-{number}")
            proposal = await proposed(api, course)
            signed, declined = await asyncio.gather(cosign(api, proposal), decline(api, proposal, second))
            assert (signed.status_code, declined.status_code) in {(201, 412), (412, 200)}
            decided = next(each for each in (await api.get("/v1/proposals")).json()["items"] if each["id"] == proposal)
            assert decided["status"] == ("cosigned" if signed.status_code == 201 else "declined")
            assert await api.version(course) == (4 if signed.status_code == 201 else 3)

    api(test)


def test_a_cosign_that_is_sent_again_with_its_key_is_answered_again(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        first = await cosign(api, proposal, Idempotency_Key="sign-1")
        again = await cosign(api, proposal, Idempotency_Key="sign-1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        problem(await cosign(api, proposal), 412, "stale-version")
        assert await api.version(course) == 4

    api(test)


def test_a_proposal_is_one_command_and_refers_to_no_other(api):
    async def test(api):
        course = await begun(api)
        told = {"trigger": "amend", "data": {"supersedes": {"together": 0}, "void": True}, "reason": "Wrong."}
        faults = problem(await propose(api, course, told), 422, "invalid")["errors"]
        assert [fault["where"] for fault in faults] == ["data.supersedes"]

    api(test)

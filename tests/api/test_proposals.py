"""Co-signature over HTTP: a therapist proposes, a supervisor decides, and the journal names both."""

import asyncio
import re

import httpx
from support.http_client import OPERATOR

from ipt_workflow.service.access.tokens import NewToken

EXTEND = {"trigger": "extend_phase", "reason": "One more session is needed."}
SHAPE = {
    "id", "course", "version", "trigger", "status", "proposed_by", "proposed_at", "decided_by", "decided_at", "entry_seq", "reason",
    "comment", "command", "since",
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
    tokens = api.services.tokens
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


async def send_back(api, proposal: str, comment: str = "Say why.", role: str = "supervisor") -> httpx.Response:
    return await api.post(f"/v1/proposals/{proposal}/return", {"comment": comment}, role)


def test_a_returned_proposal_waits_for_its_proposer_and_keeps_its_command(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        answer = await send_back(api, proposal, "Say what for.")
        assert answer.status_code == 200, answer.text
        shown = (await one(api, proposal, "therapist"))["proposal"]
        assert shown == answer.json()
        assert (shown["status"], shown["decided_by"], shown["comment"]) == ("returned", "supervisor-1", "Say what for.")
        assert shown["command"] == EXTEND
        for again in (await cosign(api, proposal), await decline(api, proposal), await send_back(api, proposal)):
            assert "returned already" in problem(again, 412, "stale-version")["detail"]
        assert await waiting(api) == []
        assert (await api.get("/v1/audit?kind=proposal", "auditor")).json()["items"][-1]["action"] == "returned"

    api(test)


def test_what_is_proposed_anew_takes_the_place_of_what_was_returned(api):
    async def test(api):
        course = await begun(api)
        first = await proposed(api, course)
        await send_back(api, first)
        other = await proposed(api, await begun(api, "EHR-2"))
        await send_back(api, other)
        second = await proposed(api, course)
        old = (await one(api, first))["proposal"]
        assert (old["status"], old["reason"], old["command"], old["comment"]) == ("lapsed", "revised", None, "Say why.")
        assert (await one(api, other))["proposal"]["status"] == "returned"
        assert (await cosign(api, second)).status_code == 201

    api(test)


def test_what_was_returned_lapses_with_the_course(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        await send_back(api, proposal)
        await api.walk(course, "end_early")
        lapsed = (await one(api, proposal))["proposal"]
        assert (lapsed["status"], lapsed["reason"], lapsed["command"]) == ("lapsed", "course_ended", None)
        assert lapsed["decided_by"] == "supervisor-1"  # who returned it stays known

    api(test)


def test_a_proposal_is_returned_with_a_comment_and_by_a_supervisor_who_is_not_its_proposer(api):
    async def test(api):
        proposal = await proposed(api, await begun(api))
        assert (await api.post(f"/v1/proposals/{proposal}/return", {}, "supervisor")).status_code == 422
        problem(await send_back(api, proposal, role="therapist"), 403, "forbidden")
        assert await waiting(api) == [proposal]

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


# What happens meanwhile


async def one(api, proposal: str, role: str = "supervisor") -> dict:
    answer = await api.get(f"/v1/proposals/{proposal}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def waiting(api, role: str = "supervisor") -> list[str]:
    return [each["id"] for each in (await api.get("/v1/proposals?status=waiting", role)).json()["items"]]


LONGER = {"sessions": 20, "weeks": 20, "client_agrees": True, "therapist_agrees": True}


async def agreed(api, ref: str = "EHR-1") -> str:
    """A course in its first phase, with a contract."""
    course = await begun(api, ref)
    await api.walk(course, "agree_contract")
    return course


async def send_phq9(api, course: str) -> httpx.Response:
    """A PHQ-9 as an EHR sends it, overnight."""
    body = {"trigger": "record_measure", "data": {"instrument": "phq9", "items": [2] * 8 + [0]}}
    return await api.post(f"/v1/courses/{course}/transitions", body, "ehr")


def test_a_proposal_to_lengthen_the_contract_survives_a_scale_that_the_ehr_sends_overnight(api):
    """Case 10 of the courses as a therapist tells them."""

    async def test(api):
        course = await agreed(api)
        body = {"trigger": "amend_contract", "data": LONGER, "reason": "The dispute needs longer."}
        assert rules(await api.fire(course, **body)) == {"contract_in_range"}
        proposal = (await propose(api, course, body)).json()["id"]
        assert (await send_phq9(api, course)).status_code == 201
        (listed,) = (await api.get("/v1/proposals?status=waiting", "supervisor")).json()["items"]
        (since,) = listed["since"]
        assert (since["seq"], since["trigger"], since["person"], since["role"]) == (5, "record_measure", "ehr-1", "ehr")
        assert {"occurred_at", "recorded_at"} < set(since)
        answer = await cosign(api, proposal)
        assert answer.status_code == 201, answer.text
        assert answer.json()["course"]["contract"]["sessions"] == 20
        entry = answer.json()["entry"]
        assert (entry["seq"], entry["actor"]["person"], entry["cosigned_by"]) == (6, "therapist-1", "supervisor-1")
        decided = (await one(api, proposal))["proposal"]
        assert (decided["status"], decided["entry_seq"], decided["since"]) == ("cosigned", 6, [])

    api(test)


def test_a_cosign_that_the_course_refuses_says_why_and_the_proposal_goes_on_waiting(api):
    async def test(api):
        course = await begun(api)
        first, second = await proposed(api, course), await proposed(api, course)
        assert (await one(api, second))["refusals"] == []
        assert (await cosign(api, first)).status_code == 201
        shown = await one(api, second)
        assert shown["course_version"] == 4
        assert [each["trigger"] for each in shown["proposal"]["since"]] == ["extend_phase"]
        why = {each["rule"] for each in shown["refusals"]}
        assert why
        assert rules(await cosign(api, second)) == why
        assert await waiting(api) == [second]
        assert (await decline(api, second)).status_code == 200
        record = (await api.get("/v1/audit?kind=refusal&actor=supervisor-1", "auditor")).json()["items"][0]
        assert (record["action"], set(record["rules"])) == ("extend_phase", why)

    api(test)


def test_a_cosigner_may_name_the_version_they_saw(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        await api.walk(course, "record_evaluation")
        assert problem(await cosign(api, proposal, If_Match='"3"'), 412, "stale-version")["version"] == 4
        problem(await cosign(api, proposal, If_Match="three"), 400, "malformed")
        assert await waiting(api) == [proposal]
        assert (await cosign(api, proposal, If_Match='"4"')).json()["entry"]["seq"] == 5

    api(test)


async def lapsed(api, proposal: str, reason: str) -> None:
    """It has left the list, with this reason, and nobody decides it any more."""
    assert proposal not in await waiting(api)
    shown = (await one(api, proposal))["proposal"]
    assert (shown["status"], shown["reason"], shown["command"], shown["decided_by"]) == ("lapsed", reason, None, None)
    listed = (await api.get("/v1/proposals?status=lapsed", "supervisor")).json()["items"]
    assert proposal in [each["id"] for each in listed]
    for answer in (await cosign(api, proposal), await decline(api, proposal)):
        assert "has lapsed" in problem(answer, 412, "stale-version")["detail"]


def test_a_proposal_lapses_when_its_course_ends_and_one_to_amend_goes_on_waiting(api):
    async def test(api):
        course = await agreed(api)
        extension = await proposed(api, course)
        consent = {"trigger": "amend", "data": {"supersedes": 2, "void": True}, "reason": "Told of the wrong client."}
        correction = (await propose(api, course, consent)).json()["id"]
        assert (await api.example(course, "end_early")).status_code == 201
        await lapsed(api, extension, "course_ended")
        assert await waiting(api) == [correction]
        records = (await api.get("/v1/audit?kind=proposal", "auditor")).json()["items"]
        assert [each["action"] for each in records][-1] == "lapsed"
        assert records[-1]["actor"]["person"] == "therapist-1"

    api(test)


def test_a_proposal_about_a_phase_lapses_with_the_phase(api):
    async def test(api):
        course = await agreed(api)
        proposal = await proposed(api, course)
        await api.walk(course, "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory")
        await api.walk(course, "record_formulation", "accept_formulation", "record_measure", "select_focus", "assign_sick_role")
        assert await waiting(api) == [proposal]
        await api.walk(course, "begin_middle")
        await lapsed(api, proposal, "moved_on")

    api(test)


def test_a_proposal_survives_an_interruption_of_its_phase(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        await api.walk(course, "pause")
        assert rules(await cosign(api, proposal)) == {"state_allows"}
        await api.walk(course, "resume")
        assert (await cosign(api, proposal)).status_code == 201

    api(test)


def test_a_proposal_lapses_with_the_authority_of_who_made_it(api):
    async def test(api):
        handed_over, left = await begun(api), await begun(api, "EHR-2")
        first, second = await proposed(api, handed_over), await proposed(api, left)
        handover = {"therapist": "therapist-9", "handover": "Handed over."}
        assert (await api.fire(handed_over, "transfer", handover, reason="Agreed.")).status_code == 201
        await lapsed(api, first, "proposer")
        tokens = api.services.tokens
        (token,) = [each for each in await tokens.list(OPERATOR) if each.subject == "therapist-1"]
        await tokens.revoke(OPERATOR, token.id)
        assert await waiting(api) == [second]
        assert "may not fire it any more" in problem(await cosign(api, second), 412, "stale-version")["detail"]
        await lapsed(api, second, "proposer")

    api(test)


def test_of_a_cosign_and_an_ending_at_once_both_are_true(api):
    """Either the extension was cosigned before the course ended, or it lapsed with the ending."""

    async def test(api):
        for number in range(6):
            course = await begun(api, f"EHR-{number}")
            proposal = await proposed(api, course)
            body = (await api.options(course))["end_early"]["example"]
            ended, signed = await asyncio.gather(api.post(f"/v1/courses/{course}/transitions", body), cosign(api, proposal))
            assert ended.status_code == 201, ended.text
            shown = (await one(api, proposal))["proposal"]
            expected = {201: ("cosigned", None), 412: ("lapsed", "course_ended")}
            assert (shown["status"], shown["reason"]) == expected[signed.status_code]
            assert await api.version(course) == (5 if signed.status_code == 201 else 4)

    api(test)


def test_a_cosign_while_others_write_the_course_fires_it_once(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        notes = [api.post(f"/v1/courses/{course}/transitions", {"trigger": "note", "data": {"text": "x"}}) for _ in range(4)]
        *noted, signed = await asyncio.gather(*notes, cosign(api, proposal))
        assert {answer.status_code for answer in noted} == {201}
        assert signed.status_code == 201, signed.text
        assert await api.version(course) == 8
        history = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [entry["trigger"] for entry in history].count("extend_phase") == 1

    api(test)


def test_one_proposal_is_shown_to_those_who_see_its_course(api):
    async def test(api):
        course = await begun(api)
        proposal = await proposed(api, course)
        for role in ("therapist", "supervisor", "auditor"):
            assert (await one(api, proposal, role))["proposal"]["command"] == EXTEND
        await another(api, "therapist", "therapist-2")
        problem(await api.get(f"/v1/proposals/{proposal}", "therapist-2"), 404, "not-found")
        problem(await api.get("/v1/proposals/unknown", "supervisor"), 404, "not-found")
        for role in ("ehr", "admin"):
            assert (await api.get(f"/v1/proposals/{proposal}", role)).status_code in {403, 404}
        read = (await api.get("/v1/audit?kind=read&actor=auditor-1", "auditor")).json()["items"]
        assert f"proposal {proposal}" in {each["action"] for each in read}

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

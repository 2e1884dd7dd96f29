"""Emergency access: a colleague opens somebody else's client's courses for an hour, and a supervisor asks why."""

import datetime as dt

import msgspec
import pytest
from support.http_client import OPERATOR, START

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.errors import EmergencyReviewed, Forbidden, NotFound, PersonNeeded, ReauthenticationNeeded
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken

ACCESS = "/v1/emergency-access"
HOUR = dt.timedelta(hours=1)
CONTACT = {"trigger": "record_contact", "data": {"kind": "crisis", "minutes": 25, "risk": True, "summary": "Called at night."}}
RAISED = {
    "trigger": "raise_risk",
    "data": {"level": "acute", "plan": "Her sister stays with her.", "told": ["Crisis team"]},
}
CALL = {"together": [CONTACT, RAISED]}
WHY = {"client_ref": "EHR-1", "code": "ETREAT", "reason": "She called, and her therapist is away."}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


def signed_in(api, person: str = "therapist-2", role: str = "therapist") -> Principal:
    """A person who has just proved who they are."""
    now = api.clinic.clock.now()
    return Principal(person=person, role=role, session="0123456789abcdef", authenticated_at=now)  # type: ignore[arg-type]


def emergencies(api):
    return api.services.emergencies


async def start(api, principal: Principal | None = None, **given):
    new = msgspec.convert({**WHY, **given}, NewEmergencyAccess)
    return await emergencies(api).start(principal or signed_in(api), lambda: new)


async def review(api, access: str, person: str = "supervisor-1", **given):
    new = msgspec.convert({"verdict": "justified", **given}, NewReview)
    return await emergencies(api).review(signed_in(api, person, "supervisor"), access, lambda: new)


async def on_duty(api) -> str:
    """A course of therapist-1, and a token of therapist-2."""
    made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-2"))
    api.tokens["duty"] = made.token
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    return course


def test_a_duty_colleague_records_a_crisis_call_in_two_steps_and_the_therapist_sees_it_the_next_morning(api, clock):
    async def test(api):
        course = await on_duty(api)
        clock.advance(14 * HOUR)
        access = await start(api)  # the first step
        assert access.courses == (course,)
        answer = await api.post(f"/v1/courses/{course}/transitions", CALL, "duty", If_Match=f'"{await api.version(course)}"')
        assert answer.status_code == 201, answer.text  # the second
        assert answer.json()["course"]["risk"]["level"] == "acute"

        clock.advance(10 * HOUR)
        seen = (await api.get(f"/v1/courses/{course}")).json()
        assert seen["therapist"] == "therapist-1"
        assert {"emergency", "risk"} <= set(seen["attention"])
        (listed,) = (await api.get("/v1/courses?attention=emergency")).json()["items"]
        assert listed["id"] == course
        (told,) = (await api.get(ACCESS)).json()["items"]
        assert (told["person"], told["code"], told["reason"]) == ("therapist-2", "ETREAT", WHY["reason"])
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(test, clock)


def test_over_http_it_is_taken_with_the_access_token_of_a_session_that_is_fresh(api, clock):
    async def test(api):
        course = await on_duty(api)
        sessions = api.services.sessions
        begun = await sessions.begin("therapist-2", ["therapist"], "oidc", authenticated_at=clock.now())
        api.tokens["session"] = (await sessions.open_access(begun.session)).access
        taken = await api.post(ACCESS, WHY, "session")
        assert taken.status_code == 201, taken.text
        assert taken.headers["location"].endswith(f"{ACCESS}/{taken.json()['id']}")
        assert (taken.json()["person"], taken.json()["in_force"], taken.json()["courses"]) == ("therapist-2", True, [course])
        answer = await api.post(f"/v1/courses/{course}/transitions", CALL, "session", If_Match=f'"{await api.version(course)}"')
        assert answer.status_code == 201, answer.text
        ended = await api.post(f"{ACCESS}/{taken.json()['id']}/end", None, "session")
        assert (ended.status_code, ended.json()["in_force"]) == (200, False)
        clock.advance(dt.timedelta(minutes=6))
        stale = await api.post(ACCESS, WHY, "session")
        assert (stale.status_code, "Sign in again" in stale.json()["detail"]) == (401, True)

    api(test, clock)


def test_it_opens_the_courses_for_an_hour_and_then_they_do_not_exist_any_more(api, clock):
    async def test(api):
        course = await on_duty(api)
        paths = [f"/v1/courses/{course}{part}" for part in ("", "/options", "/transitions")] + [f"/fhir/R4/EpisodeOfCare/{course}"]

        async def statuses() -> set[int]:
            return {(await api.get(path, "duty")).status_code for path in paths}

        async def listed() -> int:
            return len((await api.get("/v1/courses", "duty")).json()["items"])

        assert (await statuses(), await listed()) == ({404}, 0)
        await start(api)
        assert (await statuses(), await listed()) == ({200}, 1)
        clock.advance(HOUR - dt.timedelta(seconds=1))
        assert (await statuses(), await listed()) == ({200}, 1)
        clock.advance(dt.timedelta(seconds=1))
        assert (await statuses(), await listed()) == ({404}, 0)

    api(test, clock)


def test_what_is_read_and_written_with_it_says_so_in_the_audit_log(api, clock):
    async def test(api):
        course = await on_duty(api)
        await start(api)
        await api.get(f"/v1/courses/{course}", "duty")
        await api.fire(course, "note", {"text": "She is safe."}, "duty")
        rows = await api.clinic.read(lambda connection, _: connection.exec_driver_sql(
            "SELECT action, basis, purpose FROM audit_event WHERE person = 'therapist-2'"
            " UNION ALL SELECT trigger, basis, purpose FROM entry WHERE person = 'therapist-2'"
        ).all())  # fmt: skip
        assert set(rows) == {
            ("emergency access started", "emergency", "ETREAT"),
            ("course", "emergency", "ETREAT"),
            ("note", "emergency", "ETREAT"),
        }

    api(test, clock)


@pytest.mark.parametrize(
    ("trigger", "data"),
    [
        ("record_contact", {"kind": "crisis"}),
        ("raise_risk", {"level": "elevated"}),
        ("review_risk", {"level": "none"}),
        ("note", {"text": "x"}),
    ],
)
def test_it_allows_to_record_a_contact_a_note_and_the_risk(api, clock, trigger, data):
    async def test(api):
        course = await on_duty(api)
        await start(api)
        answer = await api.fire(course, trigger, data, "duty")
        assert answer.status_code == 201, answer.text

    api(test, clock)


def test_it_allows_to_record_nothing_else(api, clock):
    async def test(api):
        course = await on_duty(api)
        await start(api)
        offered = {each["trigger"] for each in (await api.get(f"/v1/courses/{course}/options", "duty")).json()["items"]}
        assert offered == {"record_contact", "raise_risk", "review_risk", "note"}
        session = {"trigger": "record_session", "data": {"attendance": "5"}}
        version = f'"{await api.version(course)}"'
        for path in ("transitions", "transitions?dry_run=true", "proposals"):
            answer = await api.post(f"/v1/courses/{course}/{path}", session, "duty", If_Match=version)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/trigger-not-permitted"), path
            assert "Emergency access does not allow record_session" in answer.json()["detail"]
        proposed = await api.post(f"/v1/courses/{course}/proposals", CONTACT, "duty", If_Match=version)
        assert (proposed.status_code, "propose with emergency access" in proposed.json()["detail"]) == (403, True)
        both = {"together": [CONTACT, session]}
        answer = await api.post(f"/v1/courses/{course}/transitions", both, "duty", If_Match=version)
        assert answer.status_code == 403
        refused = (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert {each["action"] for each in refused} == {"record_session", "propose"}

    api(test, clock)


def test_who_took_it_or_a_supervisor_ends_it_before_its_time(api, clock):
    async def test(api):
        course = await on_duty(api)
        for by in (("therapist-2", "therapist"), ("supervisor-1", "supervisor")):
            access = await start(api)
            assert (await api.get(f"/v1/courses/{course}", "duty")).status_code == 200
            clock.advance(dt.timedelta(minutes=5))
            ended = await emergencies(api).end(signed_in(api, *by), access.id)
            assert (ended.ended_by, ended.ended_at, ended.in_force) == (by[0], clock.now(), False)
            assert (await api.get(f"/v1/courses/{course}", "duty")).status_code == 404
            clock.advance(dt.timedelta(minutes=5))
            assert (await emergencies(api).end(signed_in(api, *by), access.id)).ended_at == ended.ended_at
        access = await start(api)
        answer = await api.post(f"{ACCESS}/{access.id}/end")
        assert answer.status_code == 403, "the course's therapist sees it, and does not end it"

    api(test, clock)


def test_it_ends_with_the_role_of_whoever_took_it(api, clock):
    async def test(api):
        await on_duty(api)
        access = await start(api)
        answer = await api.post("/v1/people/therapist-2/leave", None, "admin")
        assert answer.json()["ended"]["emergency accesses"] == 1, answer.text
        assert not (await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()["in_force"]

    api(test, clock)


def test_a_fixed_token_cannot_take_it_nor_somebody_who_signed_in_too_long_ago(api, clock):
    async def test(api):
        await on_duty(api)
        answer = await api.post(ACCESS, WHY, "duty")
        assert (answer.status_code, answer.json()["detail"].partition(".")[0]) == (403, "A token cannot do this")
        person = signed_in(api)
        clock.advance(api.clinic.settings.reauthentication)
        await start(api, person)
        clock.advance(dt.timedelta(seconds=1))
        with pytest.raises(ReauthenticationNeeded):
            await start(api, person)
        with pytest.raises(PersonNeeded):
            await start(api, Principal(person="therapist-2", role="therapist", token="t"))
        await start(api, Principal(person="therapist-2", role="therapist", via="cli"))

    api(test, clock)


@pytest.mark.parametrize("role", ["auditor", "ehr", "admin"])
def test_only_therapists_and_supervisors_may_take_it(api, clock, role):
    async def test(api):
        await on_duty(api)
        with pytest.raises(Forbidden):
            await start(api, signed_in(api, f"{role}-1", role))

    api(test, clock)


def test_an_unknown_reference_opens_nothing_and_the_attempt_is_recorded(api, clock):
    async def test(api):
        await on_duty(api)
        for reference in ("EHR-2", "EHR", "ehr-1", "EHR-1%"):
            with pytest.raises(NotFound):
                await start(api, client_ref=reference)
        refused = (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert [each["action"] for each in refused] == ["take emergency access"] * 4
        assert (await api.get(ACCESS, "supervisor")).json()["items"] == []

    api(test, clock)


@pytest.mark.parametrize(
    "given",
    [{"minutes": 0}, {"minutes": 481}, {"code": "curiosity"}, {"reason": ""}, {"client_ref": ""}, {"surplus": 1}],
)
def test_a_faulty_request_is_refused(given):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**WHY, **given}, NewEmergencyAccess)


def test_a_supervisor_reviews_it_and_never_their_own(api, clock):
    async def test(api):
        await on_duty(api)
        own, other = await start(api, signed_in(api, "supervisor-1", "supervisor")), await start(api)
        waiting = (await api.get(f"{ACCESS}?review=waiting", "supervisor")).json()["items"]
        assert [each["id"] for each in waiting] == [own.id, other.id]
        with pytest.raises(Forbidden, match="their own emergency access"):
            await review(api, own.id)
        answer = await api.post(
            f"{ACCESS}/{other.id}/review", {"verdict": "not_justified", "comment": "A call was enough."}, "supervisor"
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["review"]["comment"] == "A call was enough."
        again = await api.post(f"{ACCESS}/{other.id}/review", {"verdict": "justified"}, "supervisor")
        assert (again.status_code, again.json()["type"]) == (409, "/problems/emergency-reviewed")
        with pytest.raises(EmergencyReviewed):
            await review(api, other.id, "supervisor-2")
        assert (await review(api, own.id, "supervisor-2")).review.verdict == "justified"
        assert (await api.get(f"{ACCESS}?review=waiting", "supervisor")).json()["items"] == []
        assert len((await api.get(f"{ACCESS}?review=reviewed", "supervisor")).json()["items"]) == 2
        assert (await api.post(f"{ACCESS}/{other.id}/review", {"verdict": "justified"}, "therapist")).status_code == 403

    api(test, clock)


def test_it_asks_for_attention_until_it_is_reviewed_and_is_overdue_after_72_hours(api, clock):
    async def test(api):
        course = await on_duty(api)
        access = await start(api)

        async def attention() -> set[str]:
            kinds = set((await api.get(f"/v1/courses/{course}", "supervisor")).json()["attention"])
            for kind in ("emergency", "emergency_overdue"):
                listed = (await api.get(f"/v1/courses?attention={kind}", "supervisor")).json()["items"]
                assert bool(listed) == (kind in kinds)
            return kinds & {"emergency", "emergency_overdue"}

        clock.advance(72 * HOUR - dt.timedelta(seconds=1))
        assert await attention() == {"emergency"}
        assert not (await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()["overdue"]
        clock.advance(dt.timedelta(seconds=1))
        assert await attention() == {"emergency", "emergency_overdue"}
        assert (await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()["overdue"]
        await review(api, access.id)
        assert await attention() == set()
        assert not (await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()["overdue"]

    api(test, clock)


def test_more_than_three_of_one_person_in_thirty_days_are_flagged(api, clock):
    async def test(api):
        await on_duty(api)
        often = []
        for _ in range(4):
            often.append((await start(api)).often)
            clock.advance(dt.timedelta(days=9))
        assert often == [False, False, False, True]
        assert not (await start(api, signed_in(api, "supervisor-1", "supervisor"))).often
        clock.advance(dt.timedelta(days=4))
        assert not (await start(api)).often
        shown = (await api.get(f"{ACCESS}?review=waiting", "supervisor")).json()["items"]
        assert [each["often"] for each in shown] == [False, False, False, True, False, False]

    api(test, clock)


def test_a_restricted_course_is_opened_and_the_access_is_flagged(api, clock):
    async def test(api):
        course = await on_duty(api)
        assert not (await start(api)).restricted
        clock.advance(HOUR)
        restriction = {"people": ["supervisor-1"], "reason": "The client works here."}
        await api.client.put(f"/v1/courses/{course}/restriction", json=restriction, headers=api.headers("admin"))
        assert (await api.get(f"/v1/courses/{course}", "duty")).status_code == 404
        assert (await start(api)).restricted
        assert (await api.get(f"/v1/courses/{course}", "duty")).status_code == 200
        assert [each["id"] for each in (await api.get("/v1/courses", "duty")).json()["items"]] == [course]
        flagged = [each["restricted"] for each in (await api.get(ACCESS, "supervisor")).json()["items"]]
        assert flagged == [False, True]

    api(test, clock)


def test_a_supervisor_who_may_see_no_course_of_the_client_is_told_of_it_without_the_client(api, clock):
    async def test(api):
        course = await on_duty(api)
        access = await start(api)

        async def told() -> list[tuple]:
            found = [(await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()]
            found += (await api.get(ACCESS, "supervisor")).json()["items"]
            return [(each["client_ref"], each["reason"], each["courses"], each["person"]) for each in found]

        assert await told() == [("EHR-1", WHY["reason"], [course], "therapist-2")] * 2
        path, body = f"/v1/courses/{course}/restriction", {"people": [], "reason": "The client works here."}
        await api.client.put(path, json=body, headers=api.headers("admin"))
        assert await told() == [(None, None, [], "therapist-2")] * 2
        await api.client.put(path, json={**body, "people": ["supervisor-1"]}, headers=api.headers("admin"))
        assert await told() == [("EHR-1", WHY["reason"], [course], "therapist-2")] * 2
        api.clinic.access_rules = AccessRules(supervision="supervisees")
        assert await told() == [(None, None, [], "therapist-2")] * 2
        reviewed = await api.post(f"{ACCESS}/{access.id}/review", {"verdict": "justified"}, "supervisor")
        assert (reviewed.status_code, reviewed.json()["client_ref"]) == (201, None)
        own = await start(api, signed_in(api, "supervisor-1", "supervisor"))
        clock.advance(2 * HOUR)
        shown = (await api.get(f"{ACCESS}/{own.id}", "supervisor")).json()
        assert (shown["client_ref"], shown["courses"]) == ("EHR-1", [course])

    api(test, clock)


def test_it_does_not_let_a_supervisor_change_the_restriction_that_shuts_them_out(api, clock):
    async def test(api):
        course = await on_duty(api)
        path, body = f"/v1/courses/{course}/restriction", {"people": ["therapist-2"], "reason": "The client works here."}
        await api.client.put(path, json=body, headers=api.headers("admin"))
        await start(api, signed_in(api, "supervisor-1", "supervisor"))
        assert (await api.get(f"/v1/courses/{course}", "supervisor")).status_code == 200
        themselves = {**body, "people": ["supervisor-1"]}
        for method, content in (("PUT", themselves), ("DELETE", None)):
            answer = await api.client.request(method, path, json=content, headers=api.headers("supervisor"))
            assert (answer.status_code, "with emergency access" in answer.json()["detail"]) == (403, True), answer.text
        clock.advance(HOUR)
        assert (await api.get(f"/v1/courses/{course}", "supervisor")).status_code == 404
        assert (await api.get(path, "admin")).json()["people"] == ["therapist-2"]

    api(test, clock)


def test_it_does_not_let_a_supervisor_decide_proposals(api, clock):
    async def test(api):
        course = await on_duty(api)
        waiver = {"trigger": "waive_sick_role", "reason": "Not wanted."}
        proposed = await api.post(f"/v1/courses/{course}/proposals", waiver, If_Match=f'"{await api.version(course)}"')
        api.clinic.access_rules = AccessRules(supervision="supervisees")
        supervisor = signed_in(api, "supervisor-1", "supervisor")
        path = f"/v1/proposals/{proposed.json()['id']}"
        assert (await api.get(path, "supervisor")).status_code == 404
        await start(api, supervisor)
        assert (await api.get(path, "supervisor")).status_code == 200
        for verb in ("cosign", "decline"):
            answer = await api.post(f"{path}/{verb}", None, "supervisor")
            assert (answer.status_code, "with emergency access" in answer.json()["detail"]) == (403, True)
        assert (await api.get(path)).json()["proposal"]["status"] == "waiting"

    api(test, clock)


def test_subscribers_and_the_feed_are_told_at_once_and_thinly(api, clock):
    async def test(api):
        course = await on_duty(api)
        access = await start(api)
        told = [each for each in (await api.get("/v1/events", "supervisor")).json()["items"] if each["type"] == "access.emergency"]
        assert [each["data"] for each in told] == [{"course": course, "access": access.id}]
        await api.fire(course, "withdraw_consent", {"scope": "sharing", "who": "client"})
        await start(api)
        told = [each for each in (await api.get("/v1/events", "ehr")).json()["items"] if each["type"] == "access.emergency"]
        assert told == []

    api(test, clock)


def test_it_does_not_exist_for_a_colleague_whom_it_does_not_concern(api, clock):
    async def test(api):
        await on_duty(api)
        access = await start(api, signed_in(api, "therapist-3"))
        assert (await api.get(f"{ACCESS}/{access.id}", "duty")).status_code == 404
        assert (await api.get(ACCESS, "duty")).json()["items"] == []
        for role in ("therapist", "supervisor", "auditor"):
            assert (await api.get(f"{ACCESS}/{access.id}", role)).status_code == 200

    api(test, clock)


def test_the_texts_are_hidden_from_an_auditor_who_must_unmask_them(api, clock):
    async def test(api):
        course = await on_duty(api)
        access = await start(api)
        await review(api, access.id, comment="Well done.")

        async def texts() -> tuple:
            shown = (await api.get(f"{ACCESS}/{access.id}", "auditor")).json()
            return shown["reason"], shown["review"]["comment"]

        assert await texts() == (WHY["reason"], "Well done.")
        api.clinic.access_rules = AccessRules(auditor_text="unmask")
        assert await texts() == (None, None)
        await api.post("/v1/unmasking", {"course": course, "reason": "A complaint."}, "auditor")
        assert await texts() == (WHY["reason"], "Well done.")

    api(test, clock)


def test_the_texts_can_be_erased_and_the_rest_stays(api, clock):
    async def test(api):
        await on_duty(api)
        access = await start(api)
        await review(api, access.id, comment="Well done.")
        await api.clinic.write(
            lambda connection, _: connection.exec_driver_sql("UPDATE access_text SET salt = NULL, sealed = NULL")
        )
        shown = (await api.get(f"{ACCESS}/{access.id}", "supervisor")).json()
        assert (shown["reason"], shown["review"]["comment"]) == (None, None)
        assert (shown["code"], shown["review"]["verdict"]) == ("ETREAT", "justified")

    api(test, clock)

"""An Idempotency-Key makes a write happen once, however often it is sent."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from support.http_client import OPERATOR, START, Api, running

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken

NOTE = {"trigger": "note", "data": {"text": "Prefers mornings."}}
OTHER_NOTE = {"trigger": "note", "data": {"text": "Prefers evenings."}}
CONSENT = {"trigger": "record_consent", "data": {"scope": "treatment"}}
REFERRAL = {"client_ref": "EHR-7", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(hours=24)


async def fire(api: Api, course: str, body: Any = NOTE, key: str = "k", role: str = "therapist", **more: str) -> httpx.Response:
    return await api.post(f"/v1/courses/{course}/transitions", body, role, Idempotency_Key=key, **more)


def fresh(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    assert "idempotent-replayed" not in answer.headers
    return answer.json()


def replays(answer: httpx.Response, first: httpx.Response) -> None:
    assert answer.headers.get("idempotent-replayed") == "true", answer.text
    assert answer.status_code == first.status_code == 201
    assert answer.json() == first.json()
    assert answer.headers["etag"] == first.headers["etag"]
    assert answer.headers.get("location") == first.headers.get("location")


def problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text


async def triggers_of(api: Api, course: str) -> list[str]:
    return [entry["trigger"] for entry in (await api.get(f"/v1/courses/{course}/transitions", "supervisor")).json()["items"]]


async def person(api: Api, role: Any, name: str, token: str) -> None:
    """Somebody else's token, under a name among the tokens."""
    made = await api.services.tokens.create(OPERATOR, NewToken(role=role, name=name, subject=name))
    api.tokens[token] = made.token


@contextmanager
def held(target: Any, name: str) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """A coroutine method waits: the first event is set when it has been reached, and setting the second lets it go on."""
    reached, go = asyncio.Event(), asyncio.Event()
    method = getattr(target, name)

    async def waiting(*given: Any, **named: Any) -> Any:
        reached.set()
        await go.wait()
        return await method(*given, **named)

    setattr(target, name, waiting)
    try:
        yield reached, go
    finally:
        setattr(target, name, method)


def test_the_same_key_and_body_are_answered_as_the_first_time_and_write_nothing(api):
    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course, If_Match='"1"')
        assert fresh(first)["entry"]["seq"] == 2
        assert first.headers["etag"] == '"2"'
        for _ in range(2):
            replays(await fire(api, course, If_Match='"1"'), first)
        assert await triggers_of(api, course) == ["refer", "note"]

    api(test)


def test_a_replay_needs_no_present_version_and_tells_the_course_as_it_was_then(api):
    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course, CONSENT, If_Match='"1"')
        await api.walk(course, "start", "record_session")
        assert await api.version(course) == 4
        for version in ('"1"', '"4"', '"77"'):
            replays(await fire(api, course, CONSENT, If_Match=version), first)
        replays(await fire(api, course, CONSENT), first)
        assert first.json()["course"]["state"] == "referred"

    api(test)


def test_a_replay_of_an_entry_that_was_amended_since_is_still_the_first_answer(api):
    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course)
        void = {"trigger": "amend", "data": {"supersedes": 2, "void": True}, "reason": "Of somebody else."}
        fresh(await fire(api, course, void, "other", If_Match='"2"'))
        assert (await api.get(f"/v1/courses/{course}/transitions/2")).json()["superseded_by"] == 3
        replays(await fire(api, course), first)

    api(test)


def test_the_same_key_with_another_body_is_422_and_writes_nothing(api):
    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course)
        for other in (OTHER_NOTE, CONSENT, {**NOTE, "reason": "x"}, {"together": [NOTE]}, {"trigger": "bogus"}):
            problem(await fire(api, course, other, If_Match='"2"'), 422, "key-reused")
        replays(await fire(api, course), first)
        assert await api.version(course) == 2

    api(test)


def test_several_together_are_replayed_with_all_their_entries(api):
    async def test(api):
        course = (await api.open())["id"]
        body = {"together": [NOTE, CONSENT]}
        first = await fire(api, course, body)
        assert [entry["seq"] for entry in fresh(first)["entries"]] == [2, 3]
        fresh(await fire(api, course, OTHER_NOTE, "other"))
        replays(await fire(api, course, body), first)
        assert await api.version(course) == 4

    api(test)


def test_a_course_opened_twice_with_one_key_is_one_course(api):
    async def test(api):
        first = await api.post("/v1/courses", REFERRAL, Idempotency_Key="k")
        opened = fresh(first)["course"]
        assert first.headers["location"] == f"/v1/courses/{opened['id']}"
        await api.fire(opened["id"], "note", {"text": "x"})
        replays(await api.post("/v1/courses", REFERRAL, Idempotency_Key="k"), first)
        found = (await api.post("/v1/courses/search", {"client_ref": "EHR-7"})).json()["items"]
        assert [course["id"] for course in found] == [opened["id"]]
        problem(await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-8"}, Idempotency_Key="k"), 422, "key-reused")
        problem(await api.post("/v1/courses", REFERRAL, Idempotency_Key="other"), 409, "transition-refused")

    api(test)


def test_a_cosign_is_replayed_too(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        body = {"trigger": "waive_sick_role", "reason": "Not wanted."}
        made = await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"3"')
        path = f"/v1/proposals/{made.json()['id']}/cosign"
        first = await api.post(path, role="supervisor", Idempotency_Key="k")
        assert fresh(first)["entry"]["cosigned_by"] == "supervisor-1"
        replays(await api.post(path, role="supervisor", Idempotency_Key="k"), first)
        problem(await api.post(path, role="supervisor", Idempotency_Key="other"), 412, "stale-version")
        problem(await api.post(path, role="supervisor"), 412, "stale-version")
        assert await api.version(course) == 4

    api(test)


def test_a_refusal_is_not_kept_but_judged_afresh(api):
    async def test(api):
        course = (await api.open())["id"]
        start = {"trigger": "start"}
        for _ in range(2):
            problem(await fire(api, course, start, If_Match='"1"'), 409, "transition-refused")
        await api.walk(course, "record_consent")
        problem(await fire(api, course, start, If_Match='"1"'), 412, "stale-version")
        first = await fire(api, course, start, If_Match='"2"')
        assert fresh(first)["course"]["state"] == "initial"
        replays(await fire(api, course, start, If_Match='"2"'), first)

    api(test)


def test_what_was_accepted_is_no_refusal_when_it_is_sent_again(api):
    """It cannot be fired a second time, even by one who names the present version."""

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        start = {"trigger": "start"}
        first = await fire(api, course, start, If_Match='"2"')
        assert fresh(first)["course"]["state"] == "initial"
        for version in ('"2"', '"3"'):
            replays(await fire(api, course, start, If_Match=version), first)
            problem(await fire(api, course, start | {"data": {"reason": "x"}}, If_Match=version), 422, "key-reused")
        assert (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"] == []
        problem(await fire(api, course, start, key="other", If_Match='"3"'), 409, "transition-refused")
        assert len((await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]) == 1

    api(test)


def test_a_key_of_what_was_no_201_is_free_for_another_body(api):
    async def test(api):
        course = (await api.open())["id"]
        problem(await fire(api, course, {"trigger": "note", "data": {}}), 422, "invalid")
        problem(await fire(api, course, {"trigger": "start"}), 428, "version-required")
        problem(await fire(api, course, {"trigger": "start"}, If_Match='"9"'), 412, "stale-version")
        problem(await fire(api, course, {"trigger": "start"}, If_Match='"1"'), 409, "transition-refused")
        problem(await fire(api, course, {"trigger": "adopt"}), 403, "trigger-not-permitted")
        fresh(await fire(api, course))

    api(test)


def test_a_dry_run_keeps_no_key_and_replays_none(api):
    async def test(api):
        course = (await api.open())["id"]
        path = f"/v1/courses/{course}/transitions"
        assert (await api.post(f"{path}?dry_run=true", NOTE, Idempotency_Key="k")).status_code == 200
        fresh(await fire(api, course, OTHER_NOTE))
        looked = await api.post(f"{path}?dry_run=true", OTHER_NOTE, Idempotency_Key="k")
        assert looked.status_code == 200
        assert "idempotent-replayed" not in looked.headers
        assert await api.version(course) == 2

    api(test)


def test_a_key_is_scoped_to_person_role_and_path(api):
    async def test(api):
        await person(api, "supervisor", "therapist-1", "the same person as supervisor")
        await person(api, "supervisor", "supervisor-2", "another supervisor")
        one, two = (await api.open("EHR-1"))["id"], (await api.open("EHR-2"))["id"]
        for role in ("therapist", "supervisor", "another supervisor", "the same person as supervisor"):
            fresh(await fire(api, one, OTHER_NOTE if role == "supervisor" else NOTE, role=role))
        fresh(await fire(api, two))
        fresh(await api.post("/v1/courses", REFERRAL, Idempotency_Key="k"))
        assert await api.version(one) == 5
        assert await api.version(two) == 2
        await person(api, "therapist", "therapist-1", "a new token of the same person")
        answer = await fire(api, one, role="a new token of the same person")
        assert answer.headers["idempotent-replayed"] == "true"

    api(test)


def test_a_key_does_not_show_a_course_that_the_caller_may_no_longer_see(api):
    async def test(api):
        course = (await api.open())["id"]
        fresh(await fire(api, course))
        moved = await api.fire(course, "transfer", {"therapist": "therapist-2", "handover": "Talked through."}, reason="Moved.")
        assert moved.status_code == 201
        problem(await fire(api, course), 404, "not-found")

    api(test)


def test_a_key_is_kept_for_24_hours(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course)
        clock.advance(DAY - SECOND)
        replays(await fire(api, course), first)
        problem(await fire(api, course, OTHER_NOTE), 422, "key-reused")
        clock.advance(SECOND)
        second = await fire(api, course, OTHER_NOTE)
        assert fresh(second)["entry"]["seq"] == 3
        clock.advance(DAY - SECOND)
        replays(await fire(api, course, OTHER_NOTE), second)

    api(test, clock)


def test_after_24_hours_a_repeated_opening_is_a_new_request(api):
    clock = VirtualClock(START)

    async def test(api):
        fresh(await api.post("/v1/courses", REFERRAL, Idempotency_Key="k"))
        clock.advance(DAY)
        problem(await api.post("/v1/courses", REFERRAL, Idempotency_Key="k"), 409, "transition-refused")

    api(test, clock)


def test_while_a_request_is_running_its_key_is_409_whatever_the_version(api):
    async def test(api):
        course = (await api.open())["id"]
        with held(api.clinic.committer, "commit") as (reached, go):
            running_one = asyncio.create_task(fire(api, course, If_Match='"1"'))
            await reached.wait()
            problem(await fire(api, course, If_Match='"1"'), 409, "key-in-flight")
            problem(await fire(api, course, If_Match='"9"'), 409, "key-in-flight")
            problem(await fire(api, course, {"trigger": "note"}), 409, "key-in-flight")
            go.set()
            first = await running_one
        fresh(first)
        replays(await fire(api, course, If_Match='"1"'), first)
        assert await api.version(course) == 2

    api(test)


def test_a_key_is_free_again_after_a_request_that_failed(api):
    async def test(api):
        course = (await api.open())["id"]
        committer = api.clinic.committer
        commit = committer.commit

        async def fails(*_given: Any) -> None:
            raise OSError("the disk is gone")

        committer.commit = fails
        problem(await fire(api, course), 500, "internal")
        committer.commit = commit
        fresh(await fire(api, course))

    api(test)


@pytest.mark.parametrize("opening", (True, False))
def test_of_many_at_once_one_writes_and_the_others_wait_or_are_replayed(api, opening):
    async def test(api):
        course = (await api.open())["id"]

        async def send() -> httpx.Response:
            return await (api.post("/v1/courses", REFERRAL, Idempotency_Key="k") if opening else fire(api, course, If_Match='"1"'))

        answers = await asyncio.gather(*(send() for _ in range(6)))
        written = [answer for answer in answers if answer.status_code == 201 and "idempotent-replayed" not in answer.headers]
        assert len(written) == 1
        for answer in answers:
            if answer.status_code == 201:
                assert answer.json() == written[0].json()
            else:
                problem(answer, 409, "key-in-flight")
        replays(await send(), written[0])
        assert await api.version(course) == (1 if opening else 2)
        found = (await api.get("/v1/courses")).json()["items"]
        assert len(found) == (2 if opening else 1)

    api(test)


@pytest.mark.parametrize("what", ("firing", "opening", "cosigning"))
def test_of_two_processes_the_one_that_comes_second_to_the_commit_answers_what_the_first_did(settings, what):
    async def send(api: Api, path: str) -> httpx.Response:
        body = {"firing": NOTE, "opening": REFERRAL, "cosigning": None}[what]
        version = {"If_Match": '"4"'} if what == "firing" else {}
        return await api.post(path, body, "therapist" if what != "cosigning" else "supervisor", Idempotency_Key="k", **version)

    async def test() -> None:
        async with running(settings) as one, running(settings) as two:
            course = (await one.open())["id"]
            await one.walk(course, "record_consent", "start", "record_evaluation")
            waiver = {"trigger": "waive_sick_role", "reason": "Not wanted."}
            made = await one.post(f"/v1/courses/{course}/proposals", waiver, If_Match='"4"')
            path = {
                "firing": f"/v1/courses/{course}/transitions",
                "opening": "/v1/courses",
                "cosigning": f"/v1/proposals/{made.json()['id']}/cosign",
            }[what]
            with held(one.clinic.committer, "commit") as (reached, go):
                late = asyncio.create_task(send(one, path))
                await reached.wait()
                first = await send(two, path)
                go.set()
                replays(await late, first)
            fresh(first)
            replays(await send(two, path), first)
            assert await two.version(course) == (4 if what == "opening" else 5)
            assert len((await two.get("/v1/courses")).json()["items"]) == (2 if what == "opening" else 1)

    asyncio.run(test())


def test_a_request_is_never_refused_for_its_own_success_in_another_process(settings):
    async def test() -> None:
        async with running(settings) as one, running(settings) as two:
            with held(one.application.litestar.state.front_desk.first.courses, "_open") as (
                reached,
                go,
            ):  # it has looked for its key, and not decided
                late = asyncio.create_task(one.post("/v1/courses", REFERRAL, Idempotency_Key="k"))
                await reached.wait()
                first = await two.post("/v1/courses", REFERRAL, Idempotency_Key="k")
                go.set()
                replays(await late, first)
            fresh(first)

    asyncio.run(test())


@pytest.mark.parametrize("key", ("", " ", "a b", "k" * 256, "k\x7f"), ids=repr)
def test_a_key_that_cannot_be_one_is_400(api, key):
    async def test(api):
        course = (await api.open())["id"]
        problem(await fire(api, course, key=key), 400, "malformed")
        assert await api.version(course) == 1

    api(test)


@pytest.mark.parametrize("key", ("!", "k" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'), ids=("short", "long", "quoted"))
def test_a_key_is_up_to_255_visible_characters(api, key):
    async def test(api):
        course = (await api.open())["id"]
        first = await fire(api, course, key=key)
        fresh(first)
        replays(await fire(api, course, key=key), first)

    api(test)


TRANSFER = {"therapist": "therapist-2", "handover": "Talked through."}


async def hidden_in_log(api: Api, course: str) -> list[tuple[str, str]]:
    found = (await api.get(f"/v1/audit?kind=refusal&course={course}", "auditor")).json()["items"]
    return [(each["actor"]["person"], each["action"]) for each in found if each["rules"] == ["hidden"]]


def test_an_opening_is_not_repeated_to_somebody_who_may_not_see_the_course_any_more(api):
    async def test(api):
        first = fresh(await api.post("/v1/courses", REFERRAL, Idempotency_Key="k"))
        course = first["course"]["id"]
        assert (await api.fire(course, "transfer", TRANSFER, reason="Moved.")).status_code == 201
        relinked = await api.fire(
            course, "relink_client", {"kind": "wrong_client", "client_ref": "EHR-8"}, "supervisor", reason="The wrong record."
        )
        assert relinked.status_code == 201, relinked.text
        answer = await api.post("/v1/courses", REFERRAL, Idempotency_Key="k")
        problem(answer, 404, "not-found")
        assert "EHR-8" not in answer.text
        assert course not in answer.text
        assert await hidden_in_log(api, course) == [("therapist-1", "see a course")]
        assert await triggers_of(api, course) == ["refer", "transfer", "relink_client"]

    api(test)


def test_who_may_read_gets_the_entry_and_the_version_of_then_with_the_reference_of_now(api):
    async def test(api):
        first = await api.post("/v1/courses", REFERRAL, "supervisor", Idempotency_Key="k")
        course = fresh(first)["course"]["id"]
        relinked = await api.fire(
            course, "relink_client", {"kind": "wrong_client", "client_ref": "EHR-8"}, "supervisor", reason="The wrong record."
        )
        assert relinked.status_code == 201, relinked.text
        again = await api.post("/v1/courses", REFERRAL, "supervisor", Idempotency_Key="k")
        assert (again.status_code, again.headers["etag"]) == (201, '"1"')
        assert again.json()["entry"] == first.json()["entry"]
        assert (again.json()["course"]["version"], again.json()["course"]["client_ref"]) == (1, "EHR-8")

    api(test)


@pytest.mark.parametrize(
    ("role", "body"),
    (("admin", REFERRAL), ("therapist", REFERRAL | {"therapist": "therapist-2"})),
    ids=("by-an-administrator", "for-another-therapist"),
)
def test_an_opening_is_repeated_to_nobody_who_could_never_see_the_course(api, role, body):
    async def test(api):
        course = fresh(await api.post("/v1/courses", body, role, Idempotency_Key="k"))["course"]["id"]
        answer = await api.post("/v1/courses", body, role, Idempotency_Key="k")
        problem(answer, 404, "not-found")
        assert "accepted before" in answer.json()["detail"]
        assert await triggers_of(api, course) == ["refer"]
        problem(await api.post("/v1/courses", body | {"client_ref": "EHR-8"}, role, Idempotency_Key="k"), 422, "key-reused")

    api(test)

"""Over HTTP: what a change of protocol carries over appears in the options, a dry run, the answer and the history."""

import asyncio
import datetime as dt

import pytest
from support import protocol_versions
from support.http_client import running

CHANGE = {"trigger": "change_protocol", "reason": "The client is younger than was recorded.", "data": {"protocol": "ipt-brief"}}
MIGRATE = {"trigger": "migrate_protocol", "reason": "The clinic takes up the new version."}
NO_GRIEF = (
    'areas = ["grief", "role_dispute", "role_transition", "interpersonal_deficits"]',
    'areas = ["role_dispute", "interpersonal_deficits"]',
)


@pytest.fixture
def two(settings, tmp_path, clock):
    """Runs a coroutine function with an `Api` of a service that has a second version of `ipt`."""

    def run(test, *replaced):
        folder = protocol_versions.config(tmp_path / "config", *replaced)

        async def inside():
            async with running(protocol_versions.settings_with(settings, folder), clock) as api:
                return await test(api)

        return asyncio.run(inside())

    return run


async def begun(api) -> str:
    """A course in the first phase of version 1, with a problem area and a contract."""
    course = (await api.open(protocol_version=2))["id"]
    await api.walk(course, "record_consent", "start", "record_session", "record_evaluation", "record_history", "record_inventory")
    await api.walk(course, "select_focus", "agree_contract")
    return course


async def send(api, course, body, **more):
    version = await api.version(course)
    return await api.post(
        f"/v1/courses/{course}/transitions{more.pop('query', '')}", body, "supervisor", If_Match=f'"{version}"', **more
    )


def test_options_say_what_would_carry_over(two):
    async def test(api):
        options = await api.options(await begun(api), "supervisor")
        assert options["migrate_protocol"]["allowed"]
        move = options["migrate_protocol"]["move"]
        assert (move["from"], move["to"], move["kind"]) == ("ipt@2", "ipt@3", "new_gaps")
        assert [each["name"] for each in move["invalid"]] == ["focus"]
        assert ("focus_selected", "begin_middle") in [(each["name"], each["gate"]) for each in move["gaps"]]
        assert {"evaluation", "history", "inventory", "sessions", "contract", "consent"} <= set(move["carried"])
        assert [name for name, option in options.items() if option["move"]] == ["change_protocol", "migrate_protocol"]

    two(test, NO_GRIEF)


def test_a_dry_run_the_answer_and_the_history_say_the_same(two):
    async def test(api):
        course = await begun(api)
        looked = (await send(api, course, CHANGE, query="?dry_run=true")).json()
        assert looked["option"]["allowed"]
        move = looked["option"]["move"]
        assert "contract" in [each["name"] for each in move["invalid"]]
        assert looked["course"]["contract"] is None
        answer = await send(api, course, CHANGE)
        assert answer.status_code == 201, answer.text
        assert answer.json()["entry"]["move"] == move
        assert answer.json()["course"]["protocol"] == "ipt-brief"
        entry = (await api.get(f"/v1/courses/{course}/transitions", "supervisor")).json()["items"][-1]
        assert entry == answer.json()["entry"]
        assert entry["structural"]["invalid"] == [each["name"] for each in move["invalid"]]
        unmet = [each["rule"] for each in answer.json()["course"]["requirements"] if not each["met"]]
        assert {each["name"] for each in move["gaps"] if each["gate"] == "begin_middle"} <= set(unmet)

    two(test)


def test_an_answer_that_is_replayed_says_it_again(two):
    async def test(api):
        course = await begun(api)
        body = {**MIGRATE, "data": {"protocol": "ipt", "protocol_version": 3}}
        version = await api.version(course)
        path, headers = f"/v1/courses/{course}/transitions", {"If_Match": f'"{version}"', "Idempotency_Key": "once"}
        first = await api.post(path, body, "supervisor", **headers)
        again = await api.post(path, body, "supervisor", **headers)
        assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
        assert again.json() == first.json()
        assert first.json()["entry"]["move"]["kind"] == "new_gaps"

    two(test, NO_GRIEF)


def test_a_course_that_would_be_stuck_is_refused_with_all_that_holds_it(two, clock):
    async def test(api):
        course = await begun(api)
        for _ in range(2):
            clock.advance(dt.timedelta(days=7))
            await api.walk(course, "record_session")
        body = {**MIGRATE, "data": {"protocol": "ipt", "protocol_version": 3}}
        answer = await send(api, course, body)
        assert answer.status_code == 409
        (refusal,) = answer.json()["refusals"]
        assert (refusal["rule"], refusal["severity"]) == ("carries_over", "hard")
        assert len(refusal["current"]) == 1
        assert (await api.options(course, "supervisor"))["migrate_protocol"]["move"]["kind"] == "stuck"

    two(test, protocol_versions.SMALLER_CAP)


def test_a_version_or_protocol_that_is_none_is_told(two):
    async def test(api):
        course = await begun(api)
        missing = await send(api, course, {**MIGRATE, "data": {"protocol": "ipt"}})
        assert (missing.status_code, missing.json()["errors"][0]["where"]) == (422, "data.protocol_version")
        unknown = await send(api, course, {**MIGRATE, "data": {"protocol": "ipt", "protocol_version": 7}})
        assert unknown.status_code == 422
        other = await send(api, course, {**MIGRATE, "data": {"protocol": "ipt-brief", "protocol_version": 2}})
        assert [each["rule"] for each in other.json()["refusals"]] == ["same_protocol_family"]
        same = await send(api, course, {**MIGRATE, "data": {"protocol": "ipt", "protocol_version": 2}})
        assert [each["rule"] for each in same.json()["refusals"]] == ["protocol_differs"]

    two(test)

"""Opening, reading and listing courses over HTTP."""

import asyncio
import datetime as dt
import re
from itertools import chain

import httpx
import pytest
from support.http_client import START, running

from ipt_workflow.course.attention import KINDS
from ipt_workflow.runtime.clock import VirtualClock

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
REFERRAL = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner"}}
SECRET = "EHR-of-nobody-else"
MIDDLE = ("record_consent", "start", "record_measure", "record_session", "sign_session", "record_evaluation", "record_history",
          "record_inventory", "record_formulation", "accept_formulation", "select_focus", "agree_contract")  # fmt: skip


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def problem(answer: httpx.Response, status: int, slug: str) -> dict:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    return answer.json()


def wheres(answer: httpx.Response) -> set[str]:
    return {fault["where"] for fault in problem(answer, 422, "invalid")["errors"]}


async def pages(api, path: str, role: str = "supervisor", **params: object) -> list[list[str]]:
    """Every page of a list, by following the links alone."""
    found, url = [], str(httpx.URL(path, params=params))
    while url:
        answer = await api.get(url, role)
        found.append(ids(answer))
        link = answer.headers.get("link")
        assert (link is None) == (answer.json()["next"] is None)
        url = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1] if link else ""
    return found


def test_a_course_is_opened_with_a_location_and_its_first_version(api):
    async def test(api):
        answer = await api.post("/v1/courses", REFERRAL)
        assert answer.status_code == 201, answer.text
        entry, course = answer.json()["entry"], answer.json()["course"]
        assert set(answer.json()) == {"entry", "course"}
        assert UUID7.fullmatch(course["id"])
        assert UUID7.fullmatch(entry["id"])
        assert answer.headers["location"] == f"/v1/courses/{course['id']}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["cache-control"] == "no-store"
        assert (course["client_ref"], course["state"], course["phase"], course["version"]) == ("EHR-1", "referred", None, 1)
        assert (entry["seq"], entry["trigger"], entry["from"], entry["to"]) == (1, "refer", None, "referred")
        assert entry["actor"] == {"person": "therapist-1", "role": "therapist", "via": "api"}
        assert course.items() <= (await api.get(answer.headers["location"])).json().items()

    api(test)


def test_a_therapist_who_refers_is_the_therapist_unless_another_is_named(api):
    async def test(api):
        own = await api.post("/v1/courses", REFERRAL)
        assert own.json()["course"]["therapist"] == "therapist-1"
        other = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-2", "therapist": "therapist-2"})
        assert other.json()["course"]["therapist"] == "therapist-2"
        nobody = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-3"}, role="admin")
        assert (nobody.status_code, nobody.json()["course"]["therapist"]) == (201, None)
        assert nobody.json()["course"]["attention"] == ["unassigned"]

    api(test)


def test_an_auditor_opens_no_course(api):
    async def test(api):
        problem(await api.post("/v1/courses", REFERRAL, role="auditor"), 403, "forbidden")
        problem(await api.post("/v1/courses", {"bogus": 1}, role="auditor"), 403, "forbidden")
        assert ids(await api.get("/v1/courses", "auditor")) == []

    api(test)


def test_a_client_with_an_open_course_gets_no_second_one(api):
    async def test(api):
        first = await api.open()
        again = problem(await api.post("/v1/courses", REFERRAL), 409, "transition-refused")
        assert [refusal["rule"] for refusal in again["refusals"]] == ["one_active_course"]
        assert "EHR-1" not in str(again)
        assert (
            await api.fire(first["id"], "decline", {"end_code": "10", "onward_plan": "None."}, reason="Moved.")
        ).status_code == 201
        assert (await api.post("/v1/courses", REFERRAL)).status_code == 201

    api(test)


def test_every_field_that_is_wrong_with_an_opening_is_named_at_once_and_none_is_repeated(api):
    async def test(api):
        body = {"client_ref": "", "protocol": "i p t", "protocol_version": 0, "data": [], SECRET: 1}
        answer = await api.post("/v1/courses", body)
        assert wheres(answer) == {"client_ref", "protocol", "protocol_version", "data", SECRET}
        assert wheres(await api.post("/v1/courses", {**REFERRAL, "data": {"more": 1}})) == {"data.source", "data.more"}
        assert wheres(await api.post("/v1/courses", {**REFERRAL, "protocol": "unknown"})) == {"protocol"}
        assert wheres(await api.post("/v1/courses", {**REFERRAL, "protocol_version": 9})) <= {"protocol", "protocol_version"}
        answer = await api.post("/v1/courses", {**REFERRAL, "client_ref": f"{SECRET}\t"})
        assert wheres(answer) == {"client_ref"}
        assert SECRET not in answer.text

    api(test)


def test_the_same_key_opens_one_course_however_often_it_is_sent(api):
    async def test(api):
        first = await api.post("/v1/courses", REFERRAL, Idempotency_Key="k-1")
        again = await api.post("/v1/courses", REFERRAL, Idempotency_Key="k-1")
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert "idempotent-replayed" not in first.headers
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        problem(await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-2"}, Idempotency_Key="k-1"), 422, "key-reused")
        another = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-2"}, role="supervisor", Idempotency_Key="k-1")
        assert another.status_code == 201  # a key is the caller's own

    api(test)


def test_a_course_has_the_shape_that_is_promised(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *MIDDLE)
        shown = (await api.get(f"/v1/courses/{course}")).json()
        assert set(shown) >= {
            "id", "client_ref", "therapist", "protocol", "state", "phase", "version", "counters", "clock", "sick_role", "focus",
            "contract", "measures", "risk", "requirements",
        }  # fmt: skip
        counters = shown["counters"]
        assert counters["attended"] == {"initial": 1, "middle": 0, "final": 0}
        assert (counters["consumed"], counters["contracted"], counters["remaining"]) == (1, 12, 11)
        assert (shown["clock"]["week"], shown["clock"]["weeks"]) == (1, 12)
        assert shown["sick_role"] == {"status": "pending", "response": None}
        assert shown["focus"]["primary"]
        assert (shown["contract"]["sessions"], shown["contract"]["weeks"]) == (12, 12)
        assert shown["measures"]["phq9@1"]["count"] == 1
        assert shown["risk"] == {"level": "none", "open_since": None}
        assert shown["progress"] == "session 2 of 12, week 1 of 12"
        assert shown["next"] == "begin_middle"
        asked = {each["rule"]: each["met"] for each in shown["requirements"]}
        assert asked["focus_selected"] is True
        assert asked["sick_role_resolved"] is False
        remedies = next(each["remedies"] for each in shown["requirements"] if each["rule"] == "sick_role_resolved")
        assert "assign_sick_role" in {remedy["trigger"] for remedy in remedies}

    api(test)


def test_the_etag_of_a_course_is_its_version_and_moves_with_it(api):
    async def test(api):
        course = (await api.open())["id"]
        for version in (1, 2, 3):
            for path in (f"/v1/courses/{course}", f"/v1/courses/{course}/options"):
                answer = await api.get(path)
                assert answer.headers["etag"] == f'"{version}"'
                assert answer.json()["version"] == version
            fired = await api.fire(course, "note", {"text": "x"}, version=version)
            assert fired.headers["etag"] == f'"{version + 1}"'
        stale = await api.fire(course, "note", {"text": "x"}, version=1)
        assert problem(stale, 412, "stale-version")["version"] == 4

    api(test)


def test_head_is_answered_where_get_is_with_the_same_headers_and_no_body(api):
    async def test(api):
        course = (await api.open())["id"]
        for path in ("/v1/courses", f"/v1/courses/{course}", f"/v1/courses/{course}/options", f"/v1/courses/{course}/transitions",
                     "/v1/courses/unknown", "/v1/triggers", "/health/live"):  # fmt: skip
            got, head = await api.get(path), await api.client.head(path, headers=api.headers("therapist"))
            assert head.status_code == got.status_code
            assert head.content == b""
            varies = {"x-request-id", "content-length"}
            assert {k: v for k, v in head.headers.items() if k not in varies} == {
                k: v for k, v in got.headers.items() if k not in varies
            }
        assert (await api.client.head("/v1/courses")).status_code == 401

    api(test)


def test_nothing_under_v1_is_ever_cached_or_framed(api):
    async def test(api):
        course = (await api.open())["id"]
        asked = [
            await api.get(path)
            for path in ("/v1/courses", f"/v1/courses/{course}", "/v1/courses/unknown", "/v1/nothing", "//v1/courses")
        ]
        asked += [await api.client.get("/v1/courses"), await api.post("/v1/courses", {}), await api.fire(course, "start")]
        assert {answer.status_code for answer in asked} == {200, 401, 404, 409, 422}
        for answer in asked:
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"

    api(test)


def test_what_a_caller_may_not_see_is_not_there(api):
    async def test(api):
        theirs = (await api.open(therapist="therapist-2"))["id"]
        for path in (f"/v1/courses/{theirs}", f"/v1/courses/{theirs}/options", f"/v1/courses/{theirs}/transitions"):
            hidden, unknown = await api.get(path), await api.get(path.replace(theirs, "unknown"))
            assert problem(hidden, 404, "not-found")["detail"] == problem(unknown, 404, "not-found")["detail"]
            for role in ("supervisor", "auditor", "ehr"):
                assert (await api.get(path, role)).status_code == 200
            assert (await api.get(path, "admin")).status_code in {403, 404}
        assert ids(await api.get("/v1/courses")) == []
        assert ids(await api.get("/v1/courses?therapist=therapist-2")) == []
        assert ids(await api.post("/v1/courses/search", {"client_ref": "EHR-1"})) == []
        assert ids(await api.get("/v1/courses", "supervisor")) == [theirs]

    api(test)


def test_the_caseload_is_narrowed_by_each_of_its_filters(api):
    async def test(api):
        referred = (await api.open("EHR-1"))["id"]
        begun = (await api.open("EHR-2"))["id"]
        await api.walk(begun, "record_consent", "start", "record_session")
        theirs = (await api.open("EHR-3", therapist="therapist-2"))["id"]
        paused = (await api.open("EHR-4"))["id"]
        await api.walk(paused, "record_consent", "start", "pause")
        ended = (await api.open("EHR-5"))["id"]
        await api.walk(ended, "decline")

        async def found(query: str) -> list[str]:
            return ids(await api.get(f"/v1/courses?{query}", "supervisor"))

        assert await found("") == [referred, begun, theirs, paused, ended]
        assert await found("state=referred") == [referred, theirs]
        assert await found("state=paused") == [paused]
        assert await found("state=not_suitable") == [ended]
        assert await found("phase=initial") == [begun, paused]
        assert await found("therapist=therapist-2") == [theirs]
        assert await found("protocol=ipt") == [referred, begun, theirs, paused, ended]
        assert await found("protocol=other") == []
        assert await found("attention=unsigned") == [begun]
        assert await found("state=referred&therapist=therapist-1&protocol=ipt") == [referred]
        assert ids(await api.get("/v1/courses")) == [referred, begun, paused, ended]

    api(test)


def test_every_kind_of_attention_finds_the_courses_that_ask_for_it_and_names_it_on_them(api):
    clock = VirtualClock(START)

    async def test(api):
        risk, overdue, unassigned = (await api.open("EHR-1"))["id"], (await api.open("EHR-2"))["id"], None
        unassigned = (await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-3"}, role="admin")).json()["course"]["id"]
        await api.walk(risk, "raise_risk")
        await api.walk(overdue, "record_consent", "start", "record_session")

        async def asks(kind: str) -> list[str]:
            answer = await api.get(f"/v1/courses?attention={kind}", "supervisor")
            assert all(kind in item["attention"] for item in answer.json()["items"])
            return ids(answer)

        assert await asks("risk") == [risk]
        assert await asks("unassigned") == [unassigned]
        assert await asks("unsigned") == [overdue]
        assert await asks("overdue") == []
        clock.advance(dt.timedelta(days=40))  # nothing is written, and yet the course has become overdue
        assert await asks("overdue") == [overdue]
        assert await asks("consent") == []
        await api.fire(overdue, "withdraw_consent", {"scope": "treatment"})
        assert await asks("consent") == [overdue]
        for kind in set(KINDS) - {"risk", "unassigned", "unsigned", "overdue", "consent"}:
            assert await asks(kind) == []
        assert wheres(await api.get("/v1/courses?attention=boredom", "supervisor")) == {"attention"}

    api(test, clock)


def test_courses_are_searched_by_client_in_a_body(api):
    async def test(api):
        sought = (await api.open(SECRET))["id"]
        await api.open("EHR-2")
        answer = await api.post("/v1/courses/search", {"client_ref": SECRET})
        assert ids(answer) == [sought]
        assert answer.json()["items"][0]["client_ref"] == SECRET
        assert ids(await api.post("/v1/courses/search", {"client_ref": SECRET[:-1]})) == []
        assert ids(await api.post("/v1/courses/search", {"client_ref": SECRET, "state": "paused"})) == []
        assert ids(await api.post("/v1/courses/search", {"state": "referred"})) == ids(await api.get("/v1/courses?state=referred"))
        assert wheres(await api.post("/v1/courses/search", {"client": SECRET})) == {"client"}
        assert wheres(await api.post("/v1/courses/search", {"limit": 0})) == {"limit"}
        problem(await api.post("/v1/courses/search", {"client_ref": SECRET}, role="admin"), 403, "forbidden")

    api(test)


def test_a_search_is_paged_by_the_cursor_in_its_answer(api):
    async def test(api):
        for number in range(5):
            await api.open(f"EHR-{number}")
        found, cursor = [], {}
        while cursor is not None:
            answer = await api.post("/v1/courses/search", {"state": "referred", "limit": 2, **cursor})
            assert "link" not in answer.headers  # a link would be asked with GET
            found.append(ids(answer))
            cursor = {"cursor": answer.json()["next"]} if answer.json()["next"] else None
        assert [len(page) for page in found] == [2, 2, 1]
        assert list(chain(*found)) == ids(await api.get("/v1/courses"))

    api(test)


def test_the_clients_reference_is_in_no_url_header_or_entry(api):
    async def test(api):
        opened = await api.post("/v1/courses", {**REFERRAL, "client_ref": SECRET})
        course = opened.json()["course"]["id"]
        assert SECRET not in str(opened.headers)
        history = await api.get(f"/v1/courses/{course}/transitions?limit=1")
        found = await api.get("/v1/courses?limit=1&state=referred")
        refused = await api.post("/v1/courses", {**REFERRAL, "client_ref": SECRET})
        assert refused.status_code == 409
        for answer in (history, refused):
            assert SECRET not in answer.text + str(answer.headers)
        assert SECRET not in str(found.headers)
        assert ids(await api.get(f"/v1/courses?client_ref={SECRET}")) == ids(await api.get("/v1/courses"))  # no such filter

    api(test)


@pytest.mark.parametrize("path", ("/v1/courses", "/v1/courses/{course}/transitions"))
def test_pages_are_linked_and_come_to_the_whole_list_in_order(api, path):
    async def test(api):
        course = (await api.open("EHR-0"))["id"]
        for number in range(1, 7):
            await api.open(f"EHR-{number}")
            await api.fire(course, "note", {"text": "x"})
        whole = ids(await api.get(path.format(course=course), "supervisor"))
        assert len(whole) == 7
        found = await pages(api, path.format(course=course), limit=3)
        assert [len(page) for page in found] == [3, 3, 1]
        assert list(chain(*found)) == whole
        assert await pages(api, path.format(course=course), limit=7) == [whole]

    api(test)


def test_a_link_to_the_next_page_keeps_the_filters(api):
    async def test(api):
        for number in range(4):
            await api.open(f"EHR-{number}", therapist="therapist-2" if number % 2 else "therapist-1")
        found = await pages(api, "/v1/courses", therapist="therapist-2", state="referred", limit=1)
        assert [len(page) for page in found] == [1, 1]

    api(test)


def test_what_is_opened_or_written_between_two_pages_shifts_nothing(api):
    async def test(api):
        opened = [(await api.open(f"EHR-{number}"))["id"] for number in range(4)]
        first = await api.get("/v1/courses?limit=2")
        late = (await api.open("EHR-9"))["id"]
        await api.walk(opened[0], "decline")
        await api.walk(opened[2], "record_consent")
        rest = await api.get(f"/v1/courses?limit=10&cursor={first.json()['next']}")
        assert ids(first) + ids(rest) == [*opened, late]

    api(test)


def test_a_page_has_as_many_items_as_asked_within_the_bounds_and_fifty_unless_told(settings):
    async def test():
        async with running(settings.model_copy(update={"page_limit_default": 2, "page_limit_max": 3})) as api:
            for number in range(5):
                await api.open(f"EHR-{number}")
            assert len(ids(await api.get("/v1/courses"))) == 2
            assert len(ids(await api.get("/v1/courses?limit=1"))) == 1
            assert len(ids(await api.get("/v1/courses?limit=3"))) == 3
            for limit in (0, -1, 4):
                assert wheres(await api.get(f"/v1/courses?limit={limit}")) == {"limit"}

    assert (settings.page_limit_default, settings.page_limit_max) == (50, 200)
    asyncio.run(test())


def test_a_course_is_shown_as_it_was_and_as_it_was_known(api):
    clock = VirtualClock(START)

    def at(day: int) -> str:
        return (START + dt.timedelta(days=day)).isoformat().replace("+00:00", "Z")

    async def test(api):
        course = (await api.open())["id"]
        clock.advance(dt.timedelta(days=1))
        await api.walk(course, "record_consent", "start")
        clock.advance(dt.timedelta(days=9))
        await api.fire(course, "record_session", {"attendance": "5"}, occurred_at=at(3))  # recorded on day 10

        async def seen(query: str) -> tuple[str, int, int]:
            answer = await api.get(f"/v1/courses/{course}?{query}")
            assert answer.status_code == 200, answer.text
            shown = answer.json()
            assert answer.headers["etag"] == f'"{shown["version"]}"'
            return shown["state"], shown["version"], shown["counters"]["attended"]["initial"]

        assert await seen("") == ("initial", 4, 1)
        assert (await seen(f"as_of={at(0)}"))[0] == "referred"
        assert (await seen(f"as_of={at(2)}"))[::2] == ("initial", 0)
        assert (await seen(f"as_of={at(4)}"))[::2] == ("initial", 1)  # it had happened by then, by all that is known now
        assert await seen(f"known_at={at(4)}") == ("initial", 3, 0)  # nobody had recorded it by then
        assert await seen(f"as_of={at(4)}&known_at={at(9)}") == ("initial", 3, 0)
        assert (await seen(f"as_of={at(4)}&known_at={at(10)}"))[2] == 1
        assert await seen(f"as_of={at(4).replace('Z', '+00:00')}") == await seen(f"as_of={at(4)}")  # a plus that came as a blank
        for query in (f"as_of={at(-1)}", f"known_at={at(-1)}"):
            problem(await api.get(f"/v1/courses/{course}?{query}"), 404, "not-found")
        assert wheres(await api.get(f"/v1/courses/{course}?as_of=yesterday")) == {"as_of"}
        assert wheres(await api.get(f"/v1/courses/{course}?known_at=2026-01-05")) == {"known_at"}

    api(test, clock)


def test_the_history_is_the_journal_oldest_first_and_each_entry_can_be_read_alone(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        items = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [(item["seq"], item["trigger"]) for item in items] == [(1, "refer"), (2, "record_consent"), (3, "start")]
        assert set(items[0]) >= {
            "id", "seq", "trigger", "from", "to", "actor", "cosigned_by", "occurred_at", "recorded_at", "reason", "override", "data",
            "superseded_by", "contradicted_by", "canonical", "salt", "data_digest", "prev_hash", "hash",
        }  # fmt: skip
        assert items[0]["prev_hash"] == "0" * 64
        assert [later["prev_hash"] for later in items[1:]] == [earlier["hash"] for earlier in items[:-1]]
        assert (await api.get(f"/v1/courses/{course}")).json()["head"] == items[-1]["hash"]
        for item in items:
            assert (await api.get(f"/v1/courses/{course}/transitions/{item['seq']}")).json() == item
        for seq in (0, 4):
            problem(await api.get(f"/v1/courses/{course}/transitions/{seq}"), 404, "not-found")

    api(test)

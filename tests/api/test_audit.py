"""The audit log over HTTP: what is in it, who may read it, how it is exported, and what verifying finds."""

import asyncio
import csv
import datetime as dt
import io
import json
import re
import sqlite3
from contextlib import closing

import httpx
import pytest
from support import databases
from support.http_client import OPERATOR, START, running

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken
from ipt_workflow.store.schema import guards

RECORD = {
    "id", "kind", "recorded_at", "actor", "cosigned_by", "action", "trigger", "from", "to", "courses", "seq", "hash", "rules", "request_id", "group_session",
    "basis", "purpose", "on_behalf_of",
}  # fmt: skip
SAID = "What nobody else is to read"


def problem(answer: httpx.Response, status: int, slug: str) -> dict:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    return answer.json()


async def log(api, query: str = "", role: str = "auditor") -> list[dict]:
    answer = await api.get(f"/v1/audit?{query}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def sql(settings, *statements: str, guarded: bool = False) -> None:
    """Changes the database behind the service's back. Its guards are off by default."""
    with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
        for name, _ in [] if guarded else guards.sqlite():
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement


def test_every_transition_is_in_the_log_with_its_entrys_hash(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        found = await log(api, "kind=transition")
        assert [(each["seq"], each["trigger"], each["from"], each["to"]) for each in found] == [
            (1, "refer", None, "referred"),
            (2, "record_consent", "referred", "referred"),
            (3, "start", "referred", "initial"),
        ]
        history = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [each["hash"] for each in found] == [entry["hash"] for entry in history]
        for record in found:
            assert set(record) == RECORD
            assert record["actor"] == {"person": "therapist-1", "role": "therapist", "via": "api"}
            assert record["courses"] == [course]

    api(test)


def test_a_refusal_is_in_the_log_with_the_rules_that_stood_against_it(api):
    async def test(api):
        course = (await api.open())["id"]
        assert (await api.fire(course, "start")).status_code == 409
        assert (await api.fire(course, "acknowledge_deviation", {"session": 1})).status_code == 403
        by_rule, by_role = await log(api, "kind=refusal")
        assert (by_rule["trigger"], by_rule["rules"], by_rule["courses"]) == ("start", ["consent_given"], [course])
        assert (by_role["trigger"], by_role["rules"], by_role["courses"]) == ("acknowledge_deviation", ["role"], [course])
        dry = await api.post(f"/v1/courses/{course}/transitions?dry_run=true", {"trigger": "start"}, If_Match='"1"')
        assert not dry.json()["option"]["allowed"]
        assert len(await log(api, "kind=refusal")) == 2

    api(test)


def test_every_way_of_reading_a_course_is_in_the_log_and_names_it(api):
    async def test(api):
        course = (await api.open())["id"]
        before = len(await log(api, "kind=read&actor=therapist-1"))
        ways = {
            "course": api.get(f"/v1/courses/{course}"),
            "options": api.get(f"/v1/courses/{course}/options"),
            "history": api.get(f"/v1/courses/{course}/transitions"),
            "caseload": api.get("/v1/courses"),
            "preview": api.post(f"/v1/courses/{course}/transitions?dry_run=true", {"trigger": "start"}, If_Match='"1"'),
        }
        for asked in ways.values():
            assert (await asked).status_code == 200
        found = (await log(api, "kind=read&actor=therapist-1"))[before:]
        assert [(each["action"], each["courses"]) for each in found] == [(action, [course]) for action in ways]
        assert (await api.get("/v1/courses/unknown")).status_code == 404
        assert len(await log(api, "kind=read&actor=therapist-1")) == before + len(ways)

    api(test)


def test_a_read_that_touched_many_courses_names_each_and_none_that_it_did_not_show(api):
    async def test(api):
        mine = [(await api.open(f"EHR-{number}"))["id"] for number in range(4)]
        theirs = (await api.open("EHR-9", therapist="therapist-2"))["id"]
        await api.get("/v1/courses")
        await api.post("/v1/courses/search", {"client_ref": "EHR-2"})
        await api.get("/v1/courses?state=paused", "supervisor")
        own, searched, none = [each["courses"] for each in await log(api, "kind=read") if each["action"] == "caseload"]
        assert sorted(own) == mine
        assert searched == [mine[2]]
        assert none == []
        assert not [each for each in await log(api, f"kind=read&course={theirs}") if each["action"] == "caseload"]

    api(test)


def test_reading_the_log_is_in_the_log_and_names_the_courses_that_it_told_of(api):
    async def test(api):
        course = (await api.open())["id"]
        await log(api, "kind=transition", "supervisor")
        last = (await log(api, "kind=read"))[-1]
        assert (last["action"], last["actor"]["person"], last["courses"]) == ("audit", "supervisor-1", [course])

    api(test)


def test_a_token_that_is_made_or_revoked_is_in_the_log_without_its_secret(api):
    async def test(api):
        tokens = api.services.tokens
        made = await tokens.create(OPERATOR, NewToken(role="auditor", name="inspector"))
        await tokens.revoke(OPERATOR, made.id)
        created, revoked = (await log(api, "kind=config"))[-2:]
        assert (created["action"], revoked["action"]) == (f"token {made.id} created", f"token {made.id} revoked")
        assert created["actor"] == {"person": "operator", "role": "admin", "via": "cli"}
        assert created["trigger"] is None
        assert made.token not in json.dumps([created, revoked])

    api(test)


def test_the_log_is_narrowed_by_each_of_its_filters_in_a_url_and_in_a_body(api):
    clock = VirtualClock(START)

    async def test(api):
        first = (await api.open("EHR-1"))["id"]
        clock.advance(dt.timedelta(days=1))
        second = (await api.open("EHR-2"))["id"]
        await api.walk(second, "record_consent", "start")
        assert (await api.fire(first, "start")).status_code == 409
        whole = [each for each in await log(api, "limit=200") if each["kind"] != "read"]
        noon = (START + dt.timedelta(hours=3)).isoformat().replace("+00:00", "Z")
        queries = {
            "kind=refusal": [each for each in whole if each["kind"] == "refusal"],
            "kind=transition": [each for each in whole if each["kind"] == "transition"],
            f"kind=transition&course={second}": [
                each for each in whole if each["kind"] == "transition" and each["courses"] == [second]
            ],
            "trigger=start": [each for each in whole if each["trigger"] == "start"],
            "actor=operator": [each for each in whole if each["actor"]["person"] == "operator"],
            f"to={noon}&kind=transition": [each for each in whole if each["courses"] == [first] and each["kind"] == "transition"],
            f"from={noon}&kind=transition": [
                each for each in whole if each["courses"] == [second] and each["kind"] == "transition"
            ],
            "actor=nobody": [],
        }
        for query, expected in queries.items():
            assert await log(api, query) == expected, query
            body = dict(part.split("=") for part in query.split("&"))
            searched = await api.post("/v1/audit/search", body, "auditor")
            assert searched.json()["items"] == expected, query
        assert {each["kind"] for each in queries["trigger=start"]} == {"transition", "refusal"}

    api(test, clock)


def test_the_log_is_paged_in_the_order_it_was_written_and_what_is_written_meanwhile_shifts_nothing(api):
    async def test(api):
        for number in range(6):
            await api.open(f"EHR-{number}")
        whole = await log(api, "kind=transition")
        found, url = [], "/v1/audit?kind=transition&limit=2"
        while url:
            answer = await api.get(url, "auditor")  # each page is itself a record in the log
            found.append(answer.json()["items"])
            link = answer.headers.get("link")
            url = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1] if link else ""
            if len(found) == 1:
                await api.open("EHR-late")
        assert [len(page) for page in found] == [2, 2, 2, 1]
        assert [each for page in found for each in page][:6] == whole
        assert whole == sorted(whole, key=lambda each: (each["recorded_at"], each["id"]))

    api(test)


def test_records_of_the_same_moment_are_neither_lost_nor_repeated_between_pages(api):
    async def test(api):  # the clock does not move: every record has the same time
        for number in range(5):
            await api.open(f"EHR-{number}")
        seen, cursor = [], {}
        while cursor is not None:
            answer = (await api.post("/v1/audit/search", {"kind": "transition", "limit": 2, **cursor}, "auditor")).json()
            seen += [each["id"] for each in answer["items"]]
            cursor = {"cursor": answer["next"]} if answer["next"] else None
        assert len(seen) == len(set(seen)) == 5

    api(test, VirtualClock(START))


def test_no_record_holds_what_was_said_or_who_the_client_is(api):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]
        await api.fire(course, "note", {"text": SAID})
        await api.fire(course, "decline", {"end_code": "10", "onward_plan": SAID}, reason=SAID)
        await api.fire(course, "note", {"text": SAID, SAID: 1})
        await api.fire(course, SAID)
        await api.fire(course, f"begin_{SAID}")
        await api.post("/v1/courses/search", {"client_ref": "EHR-4711"})
        await api.get(f"/v1/courses?state={SAID}")
        exported = (await api.get("/v1/audit/export", "auditor")).text
        for text in (json.dumps(await log(api)), exported):
            assert SAID not in text
            assert "EHR-4711" not in text

    api(test)


def test_a_record_carries_the_request_id_that_the_caller_gave(api):
    async def test(api):
        course = (await api.open())["id"]
        answer = await api.get(f"/v1/courses/{course}", X_Request_Id="visit-2231")
        assert answer.headers["x-request-id"] == "visit-2231"
        assert (await log(api, "kind=read&actor=therapist-1"))[-1]["request_id"] == "visit-2231"
        forged = await api.get(f"/v1/courses/{course}", X_Request_Id="a b<script>")
        assert re.fullmatch(r"[0-9a-f-]{36}", forged.headers["x-request-id"])

    api(test)


@pytest.mark.parametrize(
    ("path", "allowed"),
    (
        ("/v1/audit", {"auditor", "supervisor"}),
        ("/v1/audit/verify", {"auditor", "supervisor"}),
        ("/v1/audit/export", {"auditor"}),
        ("/v1/audit/export?format=csv", {"auditor"}),
    ),
)
def test_only_those_who_oversee_read_the_log(api, path, allowed):
    async def test(api):
        for role in api.tokens:
            answer = await api.get(path, role)
            if role in allowed:
                assert answer.status_code == 200
            else:
                problem(answer, 403, "forbidden")
        searched = await api.post("/v1/audit/search", {}, "therapist")
        problem(searched, 403, "forbidden")

    api(test)


def test_the_log_is_exported_whole_as_one_json_record_a_line(settings, api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        await api.fire(course, "begin_middle")
        answer = await api.get("/v1/audit/export", "auditor")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert answer.headers["cache-control"] == "no-store"
        records = [json.loads(line) for line in answer.text.splitlines()]
        assert records == [each for each in await log(api, "limit=200") if each["id"] in {record["id"] for record in records}]
        assert {record["kind"] for record in records} == {"config", "transition", "read", "refusal"}
        narrowed = await api.get(f"/v1/audit/export?kind=transition&course={course}&trigger=start", "auditor")
        assert [json.loads(line)["seq"] for line in narrowed.text.splitlines()] == [3]

    api(test)


def test_an_export_is_sent_in_chunks_and_is_whole_whatever_their_size(settings):
    async def test():
        async with running(settings.model_copy(update={"export_chunk": 2})) as api:
            for number in range(5):
                await api.open(f"EHR-{number}")
            sent = await chunks(api, "/v1/audit/export", b"kind=transition")
            assert [chunk.count(b"\n") for chunk in sent] == [2, 2, 1]
            assert [json.loads(line)["seq"] for line in b"".join(sent).splitlines()] == [1] * 5

    asyncio.run(test())


async def chunks(api, path: str, query: bytes) -> list[bytes]:
    """What the application sends, message by message: a client would see it joined."""
    sent: list[bytes] = []
    done = asyncio.Event()
    headers = [(name.lower().encode(), value.encode()) for name, value in api.headers("auditor").items()]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
             "query_string": query, "root_path": "", "headers": headers, "client": None, "server": ("ipt", 80), "state": {}}  # fmt: skip

    async def send(message: dict) -> None:
        sent.append(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            done.set()

    async def receive() -> dict:
        await done.wait()  # the caller stays until all is sent
        return {"type": "http.disconnect"}

    await api.application(scope, receive, send)
    return [chunk for chunk in sent if chunk]


def test_the_log_is_exported_as_a_table_with_a_heading(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.fire(course, "begin_middle")
        answer = await api.get("/v1/audit/export?format=csv", "auditor")
        assert answer.headers["content-type"].partition(";")[0] == "text/csv"
        assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        whole = await log(api, "limit=200")
        by_id = {record["id"]: record for record in whole}
        assert [row["id"] for row in rows] == [record["id"] for record in whole][: len(rows)]
        for row in rows:
            record = by_id[row["id"]]
            assert (row["kind"], row["action"], row["person"], row["role"]) == (
                record["kind"], record["action"], record["actor"]["person"], record["actor"]["role"],
            )  # fmt: skip
            assert row["courses"].split() == record["courses"]
            assert row["rules"].split() == record["rules"]
            assert row["hash"] == (record["hash"] or "")

    api(test)


@pytest.mark.parametrize("person", ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)"))
def test_no_cell_of_the_table_is_a_formula(api, person):
    async def test(api):
        tokens = api.services.tokens
        api.tokens["odd"] = (await tokens.create(OPERATOR, NewToken(role="therapist", name="odd", subject=person))).token
        assert (await api.get("/v1/courses", "odd")).status_code == 200
        answer = await api.get("/v1/audit/export?format=csv&kind=read", "auditor")
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [row["person"] for row in rows] == [f"'{person}"]
        exported = await api.get("/v1/audit/export?kind=read", "auditor")
        assert [json.loads(line)["actor"]["person"] for line in exported.text.splitlines()] == [person]

    api(test)


@pytest.mark.parametrize("kind", ("ndjson", "csv"))
def test_an_export_is_in_the_log_even_if_nobody_reads_it_to_its_end(api, kind):
    async def test(api):
        course = (await api.open())["id"]
        await api.get(f"/v1/audit/export?format={kind}", "auditor")
        await api.get(f"/v1/audit/export?format={kind}&course={course}", "auditor")
        whole, one = await log(api, "kind=export")
        assert (whole["action"], whole["actor"]["person"], whole["courses"]) == ("audit", "auditor-1", [])
        assert one["courses"] == [course]
        assert (await api.get("/v1/audit/export?format=pdf", "auditor")).status_code == 422
        assert len(await log(api, "kind=export")) == 2

    api(test)


def test_what_was_written_verifies(api):
    async def test(api):
        first, second = (await api.open("EHR-1"))["id"], (await api.open("EHR-2"))["id"]
        await api.walk(first, "record_consent", "start")
        for role in ("auditor", "supervisor"):
            assert (await api.get("/v1/audit/verify", role)).json() == {
                "ok": True, "courses": 2, "checked": 4, "erased": 0, "first_bad": None, "leaves": 0, "since": None,
            }  # fmt: skip
        one = (await api.get(f"/v1/audit/verify?course={second}", "auditor")).json()
        assert (one["ok"], one["courses"], one["checked"]) == (True, 1, 1)
        problem(await api.get("/v1/audit/verify?course=unknown", "auditor"), 404, "not-found")
        problem(await api.get("/v1/audit/verify", "therapist"), 403, "forbidden")

    api(test)


@pytest.mark.parametrize(
    "change",
    (
        "UPDATE entry SET canonical = CAST(replace(canonical, '\"seq\":2', '\"seq\":3') AS BLOB) WHERE seq = 2",
        "UPDATE entry SET person = 'another' WHERE seq = 2",
        "UPDATE entry SET to_state = 'middle' WHERE seq = 2",
        "UPDATE entry SET occurred_at = '2020-01-01 00:00:00.000000' WHERE seq = 2",
        "UPDATE entry SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = 2",
        "UPDATE entry_data SET sealed = CAST(replace(sealed, 'treatment', 'recording') AS BLOB) WHERE seq = 2",
        "UPDATE entry_data SET salt = upper(salt) || 'a' WHERE seq = 2",
        "DELETE FROM entry_data WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 2",
    ),
)
def test_a_byte_that_was_changed_behind_the_guards_is_found_and_its_entry_named(settings, api, change):
    async def test(api):
        course, other = (await api.open("EHR-1"))["id"], (await api.open("EHR-2"))["id"]
        await api.walk(course, "record_consent", "start")
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]
        sql(settings, change)
        found = (await api.get("/v1/audit/verify", "auditor")).json()
        assert not found["ok"]
        assert (found["first_bad"]["course"], found["first_bad"]["seq"]) == (course, 2)
        assert found["first_bad"]["fault"]
        assert not (await api.get(f"/v1/audit/verify?course={course}", "supervisor")).json()["ok"]
        assert (await api.get(f"/v1/audit/verify?course={other}", "supervisor")).json()["ok"]

    api(test)


@pytest.mark.parametrize(
    "change",
    (
        "UPDATE entry SET person = 'another' WHERE seq = 1",
        "DELETE FROM entry WHERE seq = 1",
        "DELETE FROM audit_event WHERE kind = 'config'",
    ),
)
def test_the_guards_let_nothing_be_changed_in_passing(settings, api, change):
    async def test(api):
        await api.open()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            sql(settings, change, guarded=True)
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(test)

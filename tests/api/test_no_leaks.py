"""No data about a client gets into a log, a problem, a header, a metric or the audit log, however a request ends.

Every free text that is sent is marked; afterwards the marks are looked for wherever they must not be.
"""

import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from support import databases, group_walk
from support.http_client import Api

from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import Settings

MARK = "zqx-marked"  # in all data about a client
NOTHING = object()
THERAPY = (
    *("record_consent", "start", "book_session", "book_series", "record_session", "sign_session", "link_session", "record_evaluation", "record_history"),
    *("record_inventory", "record_timeline", "record_formulation", "accept_formulation", *["record_measure"] * 3, "assign_sick_role"),
    *("update_sick_role", "select_focus", "agree_contract", "amend_contract", "record_contact", "raise_risk", "review_risk", "refer_on", "record_prescriber_review"),
    *("note", "amend", "withdraw_consent", "transfer", "pause", "resume", "record_absence", "begin_middle", "record_formulation", "accept_formulation"),
    *("change_focus", "set_dispute_stage"), *("record_session", "sign_session") * 9, "announce_ending", "begin_final", *("record_session", "sign_session") * 3,
    *("record_gains", "record_independence", "plan_for_recurrence", "relinquish_sick_role", "decide_continuation"),
    *["record_measure"] * 3, "complete", "open_followup",
)  # fmt: skip
SUPERVISION = (
    "record_supervision",
    "attest_session",
    "acknowledge_deviation",
    "waive_sick_role",
    "extend_phase",
    "change_protocol",
    "migrate_protocol",
    "relink_client",
    "move_entries",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


class MarkedClient:
    """Sends marked data about clients, and keeps what the service shows: headers, problem documents and the log."""

    def __init__(self, api: Api, log: io.StringIO) -> None:
        self.api = api
        self.log = log
        self.headers: list[str] = []
        self.problems: list[str] = []
        self.fired: set[str] = set()
        self.opened = 0
        self.rows: dict[str, dict[str, Any]] = {}
        api.client.event_hooks = {"response": [self._listen]}

    async def _listen(self, answer: httpx.Response) -> None:
        await answer.aread()
        self.headers.append(str(answer.headers.raw))
        if answer.status_code >= 400:
            self.problems.append(answer.text)

    async def learn(self) -> "MarkedClient":
        self.rows = {row["trigger"]: row for row in (await self.api.get("/v1/triggers")).json()["items"]}
        return self

    def body(self, example: dict[str, Any]) -> dict[str, Any]:
        """A command with marks in its data, its reason and the reason of an override."""
        schema = self.rows[example["trigger"]]["data_schema"]
        data = marked(schema, schema, example.get("data", {}))
        if "client_ref" in data:
            data["client_ref"] = MARK
        rules = example.get("override", {"rules": ["indication_fits"]})["rules"]
        return {**example, "data": data, "reason": MARK, "override": {"rules": rules, "reason": MARK}}

    async def open(self, trigger: str = "refer", role: str = "therapist") -> str:
        self.opened += 1
        self.fired.add(trigger)
        body = self.body({"trigger": trigger, "data": self.rows[trigger]["data_schema"]["examples"][0]})
        answer = await self.api.post("/v1/courses", {**body, "client_ref": f"{MARK} {self.opened}", "protocol": "ipt"}, role)
        assert answer.status_code == 201, answer.text
        return answer.json()["course"]["id"]

    async def fire(self, course: str, trigger: str, role: str = "therapist") -> httpx.Response:
        """Fires the example that options offers, marked. It is accepted or refused, but never wrong."""
        example = (await self.api.options(course, role))[trigger]["example"]
        if trigger == "amend":
            example["data"] = {"supersedes": await self.seq(course, "note"), "data": {"text": f"{MARK} too"}}
        answer = await self.send(course, self.body(example), role)
        assert answer.status_code in {201, 409}, (trigger, answer.text)
        self.fired.add(trigger)
        return answer

    async def send(self, course: str, body: Any, role: str = "therapist") -> httpx.Response:
        return await self.api.post(f"/v1/courses/{course}/transitions", body, role, If_Match=f'"{await self.api.version(course)}"')

    async def seq(self, course: str, trigger: str) -> int:
        entries = (await self.api.get(f"/v1/courses/{course}/transitions?limit=200")).json()["items"]
        return next(entry["seq"] for entry in entries if entry["trigger"] == trigger)

    async def accepted(self, course: str, *triggers: str, role: str = "therapist") -> None:
        for trigger in triggers:
            answer = await self.fire(course, trigger, role)
            assert answer.status_code == 201, (trigger, answer.text)

    def problem(self) -> str:
        """The type of the last problem."""
        return json.loads(self.problems[-1])["type"].removeprefix("/problems/")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, at the level that tells most. Logging is put back as it was."""
    root, names = logging.getLogger(), ("transitions", "sqlalchemy", "alembic", "httpx", "uvicorn.access")
    handlers, level = root.handlers[:], root.level
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).disabled) for name in names}
    out = io.StringIO()
    logs.configure("json", "debug", out)
    yield out
    root.handlers = handlers
    root.setLevel(level)
    for name in names:
        logging.getLogger(name).level, logging.getLogger(name).disabled = before[name]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def leaks_nothing(api, log, capfd):
    """Runs a test with a `MarkedClient`, then looks for the marks."""

    def run(test: Any) -> None:
        async def inside(api: Api) -> MarkedClient:
            marked = await MarkedClient(api, log).learn()
            await test(marked)
            assert "request" in log.getvalue()
            assert_unmarked("metrics", (await api.get("/metrics", "auditor")).text)
            assert_unmarked("audit log", (await api.get("/v1/audit/export", "auditor")).text)
            return marked

        marked = api(inside)
        assert marked.problems
        assert_unmarked("problems", "\n".join(marked.problems))
        assert_unmarked("headers", "\n".join(marked.headers))
        assert_unmarked("log", log.getvalue())
        assert_unmarked("terminal", "".join(capfd.readouterr()))

    return run


def assert_unmarked(place: str, text: str) -> None:
    at = text.find(MARK)
    assert at < 0, f"in the {place}: …{text[max(0, at - 300) : at + 100]}…"


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A schema without its reference, and without null."""
    if "$ref" in schema:
        return root["$defs"][schema["$ref"].rpartition("/")[2]]
    branches = [branch for branch in schema.get("anyOf", []) if branch.get("type") != "null"]
    return resolved(branches[0], root) if branches else schema


def is_free_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" and not {"enum", "format", "pattern"} & set(schema)


def marked(schema: dict[str, Any], root: dict[str, Any], example: Any = NOTHING) -> Any:
    """Data as in the example, with a mark in every free text, also in those that the example leaves out."""
    schema = resolved(schema, root)
    if is_free_text(schema):
        return MARK
    if schema.get("type") == "array":
        each = [NOTHING] if example is NOTHING else example
        items = [item for item in (marked(schema["items"], root, one) for one in each) if item is not NOTHING]
        return items or example
    if "properties" not in schema:
        return example
    given = {} if example is NOTHING else example
    fields = {name: marked(sub, root, given.get(name, NOTHING)) for name, sub in schema["properties"].items()}
    data = {name: value for name, value in fields.items() if value is not NOTHING}
    return data if data.keys() >= set(schema["required"]) and (data or given == example) else NOTHING


def spoilt(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """Data that is wrong wherever it can be, with a mark at every place."""
    schema = resolved(schema, root)
    if schema.get("type") == "array":
        return [spoilt(schema["items"], root), MARK, {"other": MARK}]
    if "properties" in schema:
        return {name: spoilt(sub, root) for name, sub in schema["properties"].items()} or {"other": MARK}
    return f"{MARK} " * 500 if is_free_text(schema) else f" {MARK} !?\n"


def test_whole_courses_are_told_to_the_journal_alone(leaks_nothing, settings):
    async def test(marked):
        course = await marked.open()
        for trigger in ("begin_middle", "complete", "change_protocol", "extend_phase"):
            assert (await marked.fire(course, trigger)).status_code == 409
        await marked.accepted(course, *THERAPY)
        entries = (await marked.api.get(f"/v1/courses/{course}/transitions?limit=200")).json()["items"]
        assert {entry["reason"] for entry in entries} == {MARK}
        assert sum(MARK in json.dumps(entry["data"]) for entry in entries) > 30  # there is something to be found
        for ending in ("decline", "end_early"):
            other = await marked.open()
            await marked.accepted(other, "record_consent", "start", ending)
            await marked.accepted(other, "reopen", role="supervisor")
        supervised = await marked.open("adopt", "supervisor")
        for trigger in SUPERVISION:
            await marked.fire(supervised, trigger, "supervisor")
        assert marked.fired == set(marked.rows)

    leaks_nothing(test)
    with closing(sqlite3.connect(databases.path_of(settings))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        holding = {table for table in tables if MARK in str(connection.execute(f'SELECT * FROM "{table}"').fetchall())}
    assert holding == {"entry_data", "client"}  # what erasure may empty


def test_what_is_refused_or_proposed_is_told_to_nobody(leaks_nothing):
    async def test(marked):
        course = await marked.open()
        for trigger in sorted(set(marked.rows) - {"refer", "adopt", "amend", "end_early", "decline", "transfer"}):
            role = "therapist" if "therapist" in marked.rows[trigger]["roles"] else "supervisor"
            body = marked.body((await marked.api.options(course, role))[trigger]["example"])
            looked = await marked.api.post(
                f"/v1/courses/{course}/transitions?dry_run=true", body, role, If_Match=f'"{await marked.api.version(course)}"'
            )
            assert looked.status_code == 200, looked.text
            await marked.send(course, body, "ehr")
            await marked.send(course, body, "auditor")
        assert await marked.api.version(course) > 1  # an EHR may fire some of them
        await marked.accepted(course, "start")
        for trigger in ("waive_sick_role", "change_protocol", "extend_phase"):
            body = marked.body((await marked.api.options(course))[trigger]["example"])
            await marked.api.post(f"/v1/courses/{course}/proposals", body, If_Match=f'"{await marked.api.version(course)}"')
        waiting = (await marked.api.get("/v1/proposals", "supervisor")).json()["items"]
        assert MARK in json.dumps(waiting)
        for proposal in waiting:
            await marked.api.post(f"/v1/proposals/{proposal['id']}/decline", role="supervisor")

    leaks_nothing(test)


def test_a_wrong_body_is_told_by_its_places_and_never_by_its_values(leaks_nothing):
    async def test(marked):
        course = await marked.open()
        for trigger, row in marked.rows.items():
            role = "therapist" if "therapist" in row["roles"] else "supervisor"
            schema = row["data_schema"]
            whole = {"trigger": trigger, "data": spoilt(schema, schema)}
            envelope = {"occurred_at": MARK, "reason": [MARK], "override": {"rules": MARK, "reason": {"other": MARK}}}
            for body in (
                whole,
                {**whole, **envelope},
                {"trigger": trigger, "data": MARK},
                {"trigger": trigger, "data": [MARK]},
                {"together": [whole, {**whole, **envelope}, MARK]},
                {"together": MARK},
            ):
                await marked.send(course, body, role)
                assert marked.problem() == "invalid", (trigger, marked.problems[-1])
        for body in (
            {"client_ref": [MARK], "protocol": f"{MARK} ?"},
            {"client_ref": MARK, "protocol": MARK, "data": {"source": MARK}},
        ):
            await marked.api.post("/v1/courses", body)
            assert marked.problem() == "invalid"

    leaks_nothing(test)


def test_what_cannot_be_read_is_not_quoted(leaks_nothing):
    async def test(marked):
        course = await marked.open()
        text = json.dumps({"trigger": "note", "data": {"text": MARK}})
        unreadable = {
            "malformed": (text[:-4], f"[{text}]", f'"{MARK}"', f"{text}{MARK}", text.replace(MARK, f"{MARK}\n"), f"\ufeff{text}"),
            "too-large": (MARK * 200_000,),
        }
        for slug, contents in unreadable.items():
            for content in contents:
                for path in ("/v1/courses", f"/v1/courses/{course}/transitions", "/v1/courses/search", "/v1/audit/search"):
                    headers = marked.api.headers("supervisor", Content_Type="application/json", If_Match='"1"')
                    await marked.api.client.post(path, content=content, headers=headers)
                    assert marked.problem() == slug, (path, content[:80])
        for headers in ({"Content-Type": f"text/{MARK}"}, {"If-Match": MARK}, {"Idempotency-Key": f"{MARK} {MARK}"}):
            sent = {**marked.api.headers("therapist"), "Content-Type": "application/json", "If-Match": '"1"', **headers}
            await marked.api.client.post(f"/v1/courses/{course}/transitions", content=text, headers=sent)
            assert marked.problem() in {"malformed", "unsupported-media-type"}
        await marked.api.client.get("/v1/courses", headers={"Authorization": f"Bearer {MARK}"})
        assert marked.problem() == "unauthenticated"

    leaks_nothing(test)


def test_what_was_searched_for_is_not_quoted(leaks_nothing):
    async def test(marked):
        course = await marked.open()
        for path in ("/v1/courses", "/v1/audit"):
            for name in (
                "state",
                "phase",
                "therapist",
                "attention",
                "kind",
                "course",
                "actor",
                "trigger",
                "limit",
                "cursor",
                "from",
                "to",
            ):
                await marked.api.get(f"{path}?{name}={MARK}", "supervisor")
        for query in ("as_of", "known_at"):
            await marked.api.get(f"/v1/courses/{course}?{query}={MARK}")
            assert marked.problem() == "invalid"
        await marked.api.get(f"/v1/courses/{course}/options?at={MARK}")
        assert marked.problem() == "invalid"
        for body in (
            {"client_ref": MARK},
            {"client_ref": [MARK]},
            {"limit": MARK},
            {"cursor": MARK},
            {"attention": MARK},
            {"state": MARK},
        ):
            await marked.api.post("/v1/courses/search", body)
        for body in ({"actor": MARK}, {"kind": MARK}, {"from": MARK}, {"course": MARK}, {"trigger": [MARK]}):
            await marked.api.post("/v1/audit/search", body, "supervisor")

    leaks_nothing(test)


def test_what_is_told_of_a_group_is_nowhere_but_with_its_courses(leaks_nothing):
    async def test(marked):
        api = marked.api
        path = (await api.post("/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "G-1"})).headers["location"]
        courses = [(await api.open(f"{MARK} {n}", protocol=group_walk.PROTOCOL))["id"] for n in range(2)]
        await api.walk(courses[0], "record_consent", "start")

        async def post(action: str, body: Any) -> httpx.Response:
            return await api.post(path + action, body, If_Match=(await api.get(path)).headers["etag"])

        for course in courses:
            assert (await post("/members", {"course": course})).status_code == 201
        details = {course: {"comment": MARK} for course in courses}
        session = {"attendance": dict.fromkeys(courses, "5"), "details": details, "kind": "additional", "reason": MARK}
        assert (await post("/sessions", {**session, "all": True})).status_code == 409
        recorded = (await post("/sessions", session)).json()
        (waits,) = (await api.get("/v1/notices")).json()["items"]
        for resolution in (
            {"action": "retry"},
            {"action": "correct", "reason": MARK, "data": {"attendance": MARK, "minutes": MARK}},
        ):
            await api.post(f"/v1/notices/{waits['id']}/resolve", resolution)
        sign = f"/sessions/{recorded['session']['id']}/sign"
        assert len((await post(sign, {"summary": MARK})).json()["signed"]) == 1
        for action, body in (
            ("/members", {"course": MARK, "joined_at": MARK}),
            (f"/members/{courses[0]}/leave", {"reason": MARK}),
            ("/facilitators", {"facilitators": [[MARK]]}),
            ("/sessions", {"attendance": {MARK: "5"}}),
            ("/sessions", {"attendance": {MARK: MARK}, "details": {MARK: {"comment": [MARK]}}}),
            (sign, {"focus": {MARK: [MARK]}}),
        ):
            assert (await post(action, body)).status_code == 422, action
            assert marked.problem() == "invalid"

    leaks_nothing(test)


def test_an_error_of_the_database_is_logged_without_what_was_to_be_written(leaks_nothing, settings):
    async def test(marked):
        course = await marked.open()
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("CREATE TRIGGER broken BEFORE INSERT ON entry_data BEGIN SELECT unknown_function(NEW.sealed); END")
        note = marked.body({"trigger": "note", "data": {"text": MARK}})
        answer = await marked.api.post(f"/v1/courses/{course}/transitions", note)
        assert (answer.status_code, marked.problem()) == (500, "internal")
        assert set(answer.json()) == {"type", "title", "status", "detail", "instance", "request_id"}
        failed = [json.loads(line) for line in marked.log.getvalue().splitlines() if '"request failed"' in line]
        assert [line["request_id"] for line in failed] == [answer.json()["request_id"]]
        assert failed[0]["frames"]
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("DROP TRIGGER broken")

    leaks_nothing(test)

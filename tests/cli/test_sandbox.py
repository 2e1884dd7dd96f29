"""`sandbox`: a rehearsal in a process of its own, over a socket, on both databases."""

import asyncio
import datetime as dt
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support import databases, receivers, sandbox, service_walk
from support.pages import blocks

from ipt_workflow.ehr import signatures
from ipt_workflow.service import demo

CONTRACT = {"sessions": 12, "weeks": 16, "goals": ["Feel well enough to work"], "client_agrees": True, "therapist_agrees": True}
AGREED = [("agree_contract", {"data": CONTRACT}), *demo.AGREED[1:]]
ENDS = [*demo.WORK, ("complete", {"data": {"outcome": "remission"}})]


@pytest.fixture(scope="module")
def url(tmp_path_factory, server):
    """An empty database."""
    return databases.create(server) if server else f"sqlite:///{tmp_path_factory.mktemp('sandbox') / 'new' / 'sandbox.db'}"


@pytest.fixture(scope="module")
def made(url, tmp_path_factory):
    with sandbox.running(url, tmp_path_factory.mktemp("log")) as running:
        yield running


@contextmanager
def receiver() -> Iterator[receivers.Other]:
    """An integrator's receiver, which verifies by real time, in a thread with a loop of its own."""
    ready, ended = threading.Event(), threading.Event()
    found: list[receivers.Other] = []

    async def serve() -> None:
        async with receivers.other_side() as other:
            found.append(other)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        ended.set()
        thread.join()


@contextmanager
def subscribed(made, **fields) -> Iterator[receivers.Other]:
    with receiver() as other:
        shown = made.post("/v1/subscriptions", {"url": other.url, **fields}, "admin").json()
        other.trusts(shown["secret"])
        yield other
        made.client.delete(f"/v1/subscriptions/{shown['subscription']['id']}", headers=made.headers("admin"))


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_a_course_of_sixteen_weeks_is_rehearsed_with_its_timers_and_deliveries(made):
    with subscribed(made, types=["course.changed", "course.attention"], scope="clinical") as other:
        before = moment(made.clock()["now"])
        course = made.opened("SANDBOX-16")
        weeks = iter([*["P7D"] * 6, "P35D", *["P8D"] * 5])  # one long holiday
        for trigger, fields in [*demo.FIRST, *demo.SECOND, *AGREED, ("begin_middle", {}), *demo.HELD * 7,
                                ("announce_ending", {}), ("begin_final", {}), *demo.HELD * 3, *ENDS]:  # fmt: skip
            if trigger == "record_session":
                made.clock(advance=next(weeks))
            last = made.fire(course, trigger, fields)
        assert last["state"] == "completed"
        assert last["counters"]["consumed"] == 12
        assert moment(made.clock()["now"]) - before > dt.timedelta(weeks=16)
        made.clock(advance="PT1S")  # what the last step published is delivered now
        kinds = [each.data["kind"] for each in other.receipts if each.type == "course.attention" and each.course == course]
        assert {"overdue", "ending"} <= set(kinds)
        assert [each for each in other.sequences(course) if each] == list(range(1, last["version"] + 1))
        assert set(other.outcomes()) == {"received"}


def test_a_failed_delivery_is_tried_again_as_soon_as_the_clock_reaches_its_time(made):
    with subscribed(made, types=["course.changed"]) as other:
        other.trouble(fail=2)
        course = made.opened("SANDBOX-RETRY")
        for _ in range(3):
            moved = made.clock(advance="P1D")
        assert moved["deliveries"].get("waiting", 0) == 0
        assert moved["settled"]
        assert other.outcomes() == ["failed", "failed", "received"]
        assert other.sequences(course) == [1]


@pytest.mark.parametrize(("clock", "status"), (("real", 202), ("sandbox", 401)))
def test_what_an_ehr_sends_is_verified_by_real_time(url, made, clock, status):
    made.clock(advance="P7D")
    added = sandbox.run("source", "add", f"ehr-{clock}", "--json", database_url=url)
    secret = json.loads(added.stdout)["secret"]
    stands = moment(made.clock()["now"]) if clock == "sandbox" else dt.datetime.now(dt.UTC)
    body = json.dumps(
        {"type": "consent.given", "timestamp": made.clock()["now"], "data": {"client_ref": "EHR-9", "scope": "treatment"}}
    ).encode()
    headers = signatures.Signer([signatures.read_key(secret)]).headers("msg_1", int(stands.timestamp()), body)
    answer = made.client.post(f"/v1/ehr/notices/ehr-{clock}", content=body, headers={**headers, "content-type": "application/json"})
    assert answer.status_code == status, answer.text


def test_an_advance_says_what_time_has_published(made):
    course = made.opened("SANDBOX-IDLE")
    for trigger, fields in demo.STARTED:
        made.fire(course, trigger, fields)
    made.clock(advance="PT1S")
    known = {each["id"] for each in feed(made)}
    moved = made.clock(advance="P60D")
    assert moment(moved["now"]) - moment(moved["before"]) >= dt.timedelta(days=60)
    assert moved["settled"]
    assert {(each["type"], each["kind"]) for each in moved["published"]} >= {("course.attention", "overdue")}
    new = [each for each in feed(made) if each["id"] not in known and each["type"] == "course.attention"]
    assert sum(each["count"] for each in moved["published"] if each["type"] == "course.attention") == len(new)


def test_what_begins_to_need_attention_is_published_at_its_own_time(made):
    """One long advance is like many short ones."""
    course = made.opened("SANDBOX-LATE")
    for trigger, fields in demo.STARTED:
        made.fire(course, trigger, fields)
    before = moment(made.clock()["now"])
    made.clock(advance="P300D")
    since = [
        moment(each["timestamp"]) for each in feed(made) if each["type"] == "course.attention" and each["data"]["course"] == course
    ]
    assert since
    assert all(before < each < before + dt.timedelta(days=100) for each in since)


def feed(made) -> list[dict]:
    page = made.get("/v1/events?limit=200", "supervisor").json()
    found = page["items"]
    while page["next"]:
        page = made.get(f"/v1/events?limit=200&after={page['next']}", "supervisor").json()
        found += page["items"]
    return found


@pytest.mark.parametrize(
    ("body", "where", "says"),
    (
        ({}, "", "either advance"),
        ({"advance": "P1D", "to": "2199-01-01T00:00:00Z"}, "", "either advance"),
        ({"advance": "P1M"}, "advance", "weeks, days, hours"),
        ({"advance": "-P1D"}, "advance", "weeks, days, hours"),
        ({"advance": "P0D"}, "advance", "never goes back"),
        ({"advance": "P999999D"}, "advance", "years 1900 to 2199"),
        ({"advance": 7}, "advance", "string"),
        ({"to": "2020-01-01T00:00:00Z"}, "to", "never goes back"),
        ({"to": "tomorrow"}, "to", ""),
        ({"back": "P1D"}, "back", ""),
    ),
)
def test_a_move_that_is_none_is_refused_with_its_place(made, body, where, says):
    before = made.clock()
    answer = made.post("/sandbox/clock", body, "admin")
    assert answer.status_code == 422, answer.text
    assert [each["where"] for each in answer.json()["errors"]] == [where]
    assert says in answer.json()["errors"][0]["message"]
    assert moment(made.clock()["now"]) - moment(before["now"]) < dt.timedelta(hours=1)


def test_weeks_and_hours_are_durations_too(made):
    for text, length in (("P2W", dt.timedelta(weeks=2)), ("P1DT12H", dt.timedelta(hours=36)), ("PT90S", dt.timedelta(seconds=90))):
        moved = made.clock(advance=text)
        assert moment(moved["now"]) - moment(moved["before"]) >= length


@pytest.mark.parametrize(
    ("role", "reads", "moves"), [("auditor", 200, 403), *((each, 200, 200) for each in ("therapist", "supervisor", "ehr", "admin"))]
)
def test_everybody_reads_the_clock_and_an_auditor_does_not_move_it(made, role, reads, moves):
    assert made.get("/sandbox/clock", role).status_code == reads
    assert made.post("/sandbox/clock", {"advance": "PT1S"}, role).status_code == moves
    assert made.client.get("/sandbox/clock").status_code == 401


def test_every_answer_says_that_it_is_a_sandbox_even_to_what_is_no_request(made):
    for path in ("/health/live", "/nowhere", "/v1/courses", "/schema/openapi.json", "/fhir/R4/metadata"):
        assert made.client.get(path).headers["sandbox"] == "true", path
    assert made.client.put("/v1/courses").headers["sandbox"] == "true"
    assert made.get("/v1/courses").headers["sandbox"] == "true"
    host, port = made.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"this is no request\r\n\r\n")
        assert b"sandbox: true" in connection.recv(4096).lower()


def test_every_line_of_its_log_says_that_it_is_a_sandbox(made):
    made.get("/v1/courses")
    lines = made.lines()
    assert any(line["event"] == "request" for line in lines)
    assert all(line["sandbox"] is True for line in lines)


def test_its_own_document_holds_the_clock(made):
    document = made.client.get("/schema/openapi.json").json()
    assert set(document["paths"]["/sandbox/clock"]) == {"get", "post"}
    assert "MoveClock" in document["components"]["schemas"]


def test_the_clock_goes_on_from_where_it_stood_after_a_restart(url, made, tmp_path):
    """A second process on the same database reads the moved clock; so do commands, whose tokens must not be born expired."""
    moved = moment(made.clock(advance="P30D")["now"])
    with sandbox.running(url, tmp_path) as again:
        assert moment(again.now) >= moved
        assert moment(again.clock()["now"]) >= moved
    token = sandbox.run("token", "create", "--role", "auditor", "--name", "a", "--days", "1", "--json", database_url=url)
    assert token.returncode == 0, token.stderr
    assert "This database is a sandbox." in token.stderr
    text = token.stdout.partition('"token": "')[2].partition('"')[0]
    assert made.client.get("/v1/audit", headers={"Authorization": f"Bearer {text}"}).status_code == 200


@pytest.mark.parametrize("command", (("serve", "--port", "1"), ("relay", "--once")))
def test_a_sandbox_is_not_served_as_a_real_service(url, made, command):
    refused = sandbox.run(*command, database_url=url)
    assert refused.returncode == 1
    assert "ipt-workflow sandbox" in refused.stderr
    assert "IPT_DATABASE_URL" in refused.stderr


def test_a_database_that_was_not_made_as_a_sandbox_is_refused_even_without_a_course(server, tmp_path):
    real = service_walk.database(tmp_path, server=server)
    before = databases.select(real, "SELECT count(*) FROM token")
    refused = sandbox.run("sandbox", "--port", "1", sandbox_database_url=real.database_url)
    assert refused.returncode == 1
    assert "IPT_SANDBOX_DATABASE_URL" in refused.stderr
    assert databases.select(real, "SELECT count(*) FROM token") == before
    assert databases.select(real, "SELECT count(*) FROM course") == [(0,)]
    assert databases.select(real, "SELECT count(*) FROM sandbox_move") == [(0,)]


def test_the_first_hour_of_the_page_goes_as_it_says(made):
    said = {"URL": made.url, "THERAPIST": made.tokens["therapist"], "ADMIN": made.tokens["admin"]}
    walk = "set -euo pipefail\n" + "\n".join(blocks("sandbox.md", "sh"))
    done = subprocess.run(["bash", "-c", walk], env={**os.environ, **said}, capture_output=True, text=True, timeout=sandbox.SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"rule":"consent_given"' in done.stdout
    assert '"kind":"overdue"' in done.stdout.splitlines()[-1]

"""The requests that the load generator sends, and what the rows about notices send."""

import datetime as dt
import json
from collections import Counter
from pathlib import Path

from standardwebhooks import Webhook

from bench import bundles, goals, notices
from bench.figures import Goal
from bench.requests import requests

SECRET = "whsec_" + "c2VjcmV0" * 4
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def split(request: bytes) -> tuple[str, dict[str, str], bytes]:
    """The first line, the headers and the body of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_a_request_without_a_body_is_a_get_of_one_of_the_paths():
    source = requests({"paths": ["/a/{course}"], "headers": {"X-A": "1"}, "courses": 1}, "run")
    first, headers, body = split(next(source))
    assert (first, headers["X-A"], headers["Content-Length"], body) == ("GET /a/1 HTTP/1.1", "1", "0", b"")
    assert "Idempotency-Key" not in headers


def test_each_request_has_a_key_of_its_own():
    source = requests({"paths": ["/a"], "body": {"b": 1}, "headers": {}, "keyed": True}, "run")
    found = [split(next(source)) for _ in range(3)]
    assert len({headers["Idempotency-Key"] for _, headers, _ in found}) == 3
    assert {(first, body) for first, _, body in found} == {("POST /a HTTP/1.1", b'{"b": 1}')}


def test_each_notice_is_another_one_of_a_copied_client_with_a_signature_that_the_library_accepts():
    source = requests(notices.measures(SECRET, 3), "run")
    refs = set()
    for _ in range(20):
        first, headers, body = split(next(source))
        Webhook(SECRET).verify(body, headers)
        sent = json.loads(body)
        assert first == "POST /v1/ehr/notices/bench HTTP/1.1"
        assert int(headers["Content-Length"]) == len(body)
        assert sent["data"]["client_ref"] in {"BENCH-1", "BENCH-2", "BENCH-3"}
        assert dt.datetime.fromisoformat(sent["data"]["taken_at"]).tzinfo is not None
        refs.add(sent["data"]["ref"])
    assert len(refs) == 20


def test_bundles_hold_a_thousand_resources_of_which_no_two_are_the_same_and_no_two_visits_of_a_course_overlap():
    names: Counter[str] = Counter()
    hours: Counter[tuple[str, str]] = Counter()
    for number in range(bundles.BUNDLES_MAX):
        entries = bundles.bundle(101, number)["entry"]
        assert len(entries) == bundles.ENTRIES
        names.update(entry["request"]["url"] for entry in entries)
        visits = [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Encounter"]
        hours.update((visit["subject"]["reference"], visit["period"]["start"]) for visit in visits)
        assert all(dt.datetime.fromisoformat(visit["period"]["end"]) < dt.datetime.now(dt.UTC) for visit in visits)
    assert max(names.values()) == max(hours.values()) == 1
    assert len({client for client, _ in hours}) == bundles.COURSES


def test_every_goal_is_in_the_table_of_the_page():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    every = [goal for each in vars(goals).values() for goal in (each.values() if isinstance(each, dict) else [each])]
    for goal in [goal for goal in every if isinstance(goal, Goal) and goal.goal is not None]:
        sign, unit = ("≥" if goal.better == "more" else "≤"), f" {goal.unit}" if goal.unit else ""
        assert f"| {goal.measure} | {sign} {goal.goal:g}{unit} | {goal.stretch:g}{unit} |" in lines

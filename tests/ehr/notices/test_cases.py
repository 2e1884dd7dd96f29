"""What EHR systems were seen to send, over HTTP: each case ends as it must, in any order that its versions can tell, and sent twice."""

import asyncio
import datetime as dt
import itertools
import json
from pathlib import Path

import pytest
from support import databases
from support.ehr_sender import Ehr, course, inbox
from support.http_client import running

from ipt_workflow.runtime.clock import VirtualClock

CASES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (Path(__file__).parent / "cases").glob("*.json")}
OPENED = dt.datetime(2026, 8, 24, 8, 0, tzinfo=dt.UTC)
UNORDERED = {"two-in-one-second"}  # nothing in its messages says which is newer


def arrivals(name: str) -> list[tuple[int, ...]]:
    """The orders in which the messages of a case come: as given, and each twice; in any order if their `meta` tells it."""
    numbers = tuple(range(len(CASES[name]["send"])))
    orders = [numbers] if name in UNORDERED else list(itertools.permutations(numbers))
    doubled = [tuple(number for each in order for number in (each, each)) for order in orders]
    return [*orders, *doubled, *(() if name in UNORDERED else [(*order, *order) for order in orders])]


class End:
    """What a case has come to."""

    def __init__(self, courses: list[dict], waits: list[dict]) -> None:
        self.course = courses[0]
        self.sessions = [[each["attendance"] for each in one["sessions"]] for one in courses]
        self.totals = {key: each["last"]["total"] for key, each in self.course["measures"].items()}
        self.waits = waits
        self.risk = "risk" in self.course["attention"]

    def waits_for(self, trigger: str) -> list[dict]:
        return [each for each in self.waits if each["proposes"] and each["proposes"]["trigger"] == trigger]


def one_session(end: End) -> bool:
    return end.sessions[0] == ["5"] and not end.waits


EXPECTED = {
    "a-tag-more": one_session,
    "answers-below-an-answer": lambda end: end.totals == {"phq9@1": 27} and end.risk,
    "appointment-of-two": lambda end: end.sessions == [["5"], ["5"]] and not end.waits,
    "date-only-visit": one_session,
    "death-beside-a-merge": lambda end: [each["client_ref"] for each in end.waits_for("end_early")] == ["CASE-1"],
    "death-taken-back": lambda end: not end.waits,
    "form-corrected-under-one-version": lambda end: end.risk,
    "risk-item-answered-twice": lambda end: end.risk and [each["risk"] for each in end.waits] == [True] and not end.totals,
    "risk-item-as-text": lambda end: end.risk and [each["risk"] for each in end.waits] == [True] and not end.totals,
    "subject-by-urn-uuid": one_session,
    "two-in-one-second": one_session,
    "two-merged-records": lambda end: [each["client_ref"] for each in end.waits_for("relink_client")] == ["CASE-1"],
    "two-scales-in-one-form": lambda end: end.totals == {"phq9@1": 0, "gad7@1": 21},
    "version-always-1": one_session,
}


async def taken(settings, name: str, order: tuple[int, ...]) -> End:
    clock = VirtualClock(OPENED)
    async with running(settings, clock) as api:
        ehr = await Ehr.register(api, "north", "bearer", all_visits=True)
        opened = [(await api.open(ref))["id"] for ref in ("CASE-1", "CASE-2")]
        for each in opened:
            await api.walk(each, "record_consent", "start")
        clock.advance(dt.timedelta(days=35))
        if name == "date-only-visit":
            recorded = await api.fire(opened[0], "record_session", {"attendance": "5"}, occurred_at="2026-09-07T10:00:00Z")
            assert recorded.status_code == 201, recorded.text
        for number in order:
            resource = CASES[name]["send"][number]
            answer = await ehr.fhir(resource, "POST" if resource["resourceType"] == "Bundle" else "PUT")
            assert answer.status_code == 202, answer.text
        return End([await course(api, each) for each in opened], await inbox(api))


def test_each_case_is_expected_to_end_in_some_way():
    assert set(EXPECTED) == set(CASES)


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    ("name", "order"),
    [(name, order) for name in sorted(CASES) for order in arrivals(name)],
    ids=lambda each: each if isinstance(each, str) else "".join(map(str, each)),
)
def test_a_case_ends_as_expected(server, tmp_path, name, order):
    end = asyncio.run(taken(databases.empty(tmp_path, server), name, order))
    assert EXPECTED[name](end), (CASES[name]["expected"], end.__dict__)

"""A course and the one that follows it, told late from paper, imported from one file."""

import json
import os

import pytest
from support import service_walk
from support.course_walk import ROOT, START, WEEK, Walk
from support.follow_up import opened_after
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters

FIRST = (
    "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation",
    "assign_sick_role", "select_focus", "agree_contract",
)  # fmt: skip
LAST = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role")
PAPER = START - 104 * WEEK


def epds(walk: Walk, total: int) -> None:
    walk.fire("record_measure", data={"instrument": "epds", "total": total})
    walk.fire("record_measure", data={"instrument": "ifr", "total": 6})
    walk.fire("record_measure", data={"instrument": "mspss", "total": 50})


def sessions(walk: Walk, count: int, weeks: int = 1) -> None:
    for _ in range(count):
        walk.do("record_session", "sign_session")
        walk.now += weeks * WEEK


def before_the_birth(protocol) -> Walk:
    """Eight weekly sessions of the brief form."""
    walk = Walk(protocol)
    walk.now = PAPER
    walk.referred(indication="postpartum_depression").do("record_consent", "start")
    walk.fire("record_contact", kind="engagement")
    epds(walk, 18)
    sessions(walk, 2)
    walk.do(*FIRST, "begin_middle")
    sessions(walk, 5)
    walk.do("announce_ending", "begin_final")
    sessions(walk, 1)
    epds(walk, 8)
    walk.do(*LAST)
    walk.fire("decide_continuation", decision="maintenance")
    walk.fire("complete", outcome="response")
    return walk


def after_the_birth(walk: Walk) -> None:
    """Monthly to six months after it."""
    walk.do("start")
    walk.fire("agree_contract", sessions=7, weeks=28, cadence_days=28)
    sessions(walk, 7, weeks=4)
    epds(walk, 7)
    walk.do("record_review", "plan_for_recurrence", "decide_continuation")
    walk.fire("complete", outcome="response")


def lines(name: str, walk: Walk) -> list[dict]:
    told = []
    for draft in walk.drafts:
        line = {
            "course": name,
            "trigger": draft.fact.trigger,
            "data": draft.given,
            "occurred_at": draft.fact.occurred_at.isoformat(),
        }
        told.append({**line, "reason": draft.reason} if draft.reason else line)
    return told


@pytest.fixture
def imported(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        monkeypatch.delenv(name)
    settings = service_walk.database(tmp_path)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)

    def run(told: list[dict], *options: str, code: int = 0) -> dict:
        file = tmp_path / "courses.ndjson"
        file.write_text("".join(json.dumps(line) + "\n" for line in told))
        result = CliRunner().invoke(app, ["import", str(file), "--json", *options])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    run.settings = settings
    return run


@pytest.fixture(scope="module")
def told() -> list[dict]:
    known = load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES)
    first = before_the_birth(known.get("ipt-brief"))
    later = opened_after(first, known.get("ipt-maintenance"))
    after_the_birth(later)
    brief, maintenance = lines("paper-1", first), lines("paper-2", later)
    brief[0] |= {"client_ref": "PAPER-1", "protocol": "ipt-brief", "therapist": "therapist-1"}
    brief[-1] |= {"opens": "paper-2"}
    return [*brief, *maintenance[1:]]


def test_eight_sessions_before_the_birth_and_monthly_ones_after_it_are_told_late_from_one_file(imported, told):
    assert imported(told, "--dry-run") == imported(told) == {"accepted": len(told), "known": 0, "linked": 0, "refused": []}
    assert imported(told)["known"] == len(told)

    async def seen(clinic):
        listed = await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 50)
        courses = [(await clinic.courses.get(each.id)).course for each in listed]
        assert (await AuditLog(clinic).verify(service_walk.AUDITOR)).ok
        return {course.protocol: course for course in courses}

    courses = service_walk.with_clinic(imported.settings, seen)
    first, later = courses["ipt-brief"], courses["ipt-maintenance"]
    assert (first.state, later.state) == ("completed", "completed")
    assert (first.followed_by, later.linked_from) == ((later.id,), first.id)
    assert later.opened_at == first.last_occurred_at < PAPER + 9 * WEEK
    assert later.consenting == ("treatment:client",)
    assert later.focus.primary == first.focus.primary
    assert later.formulation == first.formulation
    assert len(later.sessions) == 7


def test_a_corrected_file_goes_on_with_the_course_that_was_opened(imported, told):
    cut = next(index for index, line in enumerate(told) if line["course"] == "paper-2") + 3
    assert imported(told[:cut])["refused"] == []
    assert imported(told)["accepted"] == len(told) - cut


def test_a_changed_line_opens_no_second_follow_up_course_under_the_same_name(imported, told):
    cut = next(index for index, line in enumerate(told) if line["course"] == "paper-2")
    first, opening, later = told[: cut - 1], told[cut - 1], told[cut]
    assert imported([*first, opening])["refused"] == []
    changed = {**opening, "reason": "For the months after the birth."}
    refused = [(each["line"], each["why"].partition(":")[0]) for each in imported([*first, changed, later], code=1)["refused"]]
    assert refused == [
        (cut, "another line was imported that gave the name 'paper-2' to a course"),
        (cut + 1, "course 'paper-2' is not opened by an earlier line of this file"),
    ]


def test_only_a_line_that_opens_a_course_names_it(imported, told):
    wrong = [told[0], {**told[1], "opens": "paper-3"}, {**told[2], "course": "paper-3"}]
    refused = [(each["line"], each["why"]) for each in imported(wrong, code=1)["refused"]]
    assert refused[0] == (2, "opens: names the course that open_followup opens: remove it from this line")
    assert refused[1][0] == 3

"""Courses as a therapist tells them (`clinical.md`), imported from a file years after they took place.

Cases 10 and 12 are played over HTTP alone: a file tells no proposals, and not what a group held before a client joined it.
"""

import datetime as dt
import json
import os
from typing import Any

import msgspec
import pytest
from support import databases, service_walk
from support.published import THERAPIST, WEEK, Story, Telling
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.errors import NotFound
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import verification
from ipt_workflow.service.clinic import NOT_SEEN
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
COLLEAGUE = msgspec.structs.replace(service_walk.THERAPIST, person="therapist-2")
SUPERVISOR = {"person": "supervisor-1", "role": "supervisor"}
PHQ9_AT_RISK = {"instrument": "phq9", "items": [1, 1, 1, 1, 1, 1, 1, 1, 3]}


class Imported:
    """A database into which files are imported, and what the service shows of its courses afterwards."""

    def __init__(self, settings, folder) -> None:
        self.settings = settings
        self.file = folder / "courses.ndjson"

    def __call__(self, story: Story) -> dict[str, Any]:
        """Imports a story, after a rehearsal that must report the same. Returns the report."""
        self.file.write_text("".join(json.dumps(line) + "\n" for line in story.lines), encoding="utf-8")
        results = [CliRunner().invoke(app, ["import", str(self.file), "--json", *more]) for more in (("--dry-run",), ())]
        rehearsed, report = (json.loads(result.stdout) for result in results)
        assert rehearsed == report
        assert [result.exit_code for result in results] == [1 if report["refused"] else 0] * 2
        return report

    def read(self, work) -> Any:
        async def read(clinic):
            assert (await verification.verify(clinic)).ok
            return await work(CourseReads(clinic))

        return service_walk.with_clinic(self.settings, read, VirtualClock(dt.datetime.now(dt.UTC)))

    def shown(self) -> dict[str, Any]:
        """The only course, as its therapist sees it today."""

        async def see(reads: CourseReads):
            (listed,) = await reads.caseload(service_walk.THERAPIST, Filters(), "", 50)
            return msgspec.to_builtins(await reads.course(service_walk.THERAPIST, listed.id))

        return self.read(see)


@pytest.fixture
def imported(tmp_path, monkeypatch) -> Imported:
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        monkeypatch.delenv(name)
    settings = databases.empty(tmp_path)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    return Imported(settings, tmp_path)


def refused(report: dict[str, Any], *told: tuple[int, str, str]) -> None:
    """Refused are these lines and no others, each by exactly these rules."""
    why = {each["line"]: each["why"].partition(" refused: ") for each in report["refused"]}
    rules = {
        line: (trigger, " ".join(each.partition(": ")[0] for each in text.split("; "))) for line, (trigger, _, text) in why.items()
    }
    assert rules == {line: (trigger, names) for line, trigger, names in told}, report["refused"]


def begun(story: Story, **scores: int) -> Telling:
    """The first session, signed, and what was measured on its day."""
    client = story.course("Client", "ipt", FIRST - WEEK, indication="depression")
    client.at(FIRST).tell("record_consent", scope="treatment")
    client.tell("start")
    client.session()
    client.scores(**scores)
    return client


def in_middle(story: Story, sessions: int, override: tuple[str, ...] = (), **scores: int) -> Telling:
    """In the middle phase on the day of its last session, with the ending raised."""
    client = begun(story, **scores)
    client.tell("record_evaluation", diagnosis="Told.")
    client.inventoried({"id": "partner"})
    client.formulated()
    client.ill()
    client.tell("select_focus", primary="role_dispute", stage="renegotiation", people=["partner"])
    client.agreed(12, 12)
    client.tell("begin_middle")
    overridden(story, *override)
    weekly(client, sessions)
    client.tell("announce_ending")
    return client


def weekly(client: Telling, sessions: int) -> None:
    for _ in range(sessions):
        client.at(client.now + WEEK).session(focus="role_dispute")


def overridden(story: Story, *rules: str) -> None:
    """The last line passes these soft rules."""
    if rules:
        story.lines[-1]["override"] = {"rules": list(rules), "reason": "The clinic uses no other scales."}


def ready_to_end(story: Story, first: int, last: int, sessions: int = 3) -> Telling:
    """In the final phase of a course of 12 sessions, with its work done, after so many of its sessions."""
    client = in_middle(story, 8, phq9=first, ifr=8, mspss=40)
    client.tell("begin_final")
    weekly(client, sessions)
    client.reviewed_gains()
    client.tell("relinquish_sick_role")
    client.scores(phq9=last, ifr=5, mspss=50)
    return client


def refuse(client: Telling, trigger: str, rules: str, **more: Any) -> tuple[int, str, str]:
    """Tells a line that these rules refuse, so that it takes no place in the course. Returns its number, its trigger and the rules."""
    client.tell(trigger, **more)
    client.seq -= 1
    return len(client.story.lines), trigger, rules


def test_case_3_a_reading_three_months_after_the_end_is_shown_as_follow_up_and_the_outcome_still_says_recovery(imported):
    story = Story()
    client = ready_to_end(story, 16, 4)
    client.tell("decide_continuation", decision="none")
    client.tell("complete", outcome="remission")
    client.at(client.now + 90 * DAY).scores(phq9=17)
    refused(imported(story))

    shown = imported.shown()
    assert (shown["state"], shown["progress"]) == ("completed", "session 12 of 12, week 12 of 12")
    assert (shown["outcome"]["recovery"], shown["ending"]["outcome"]) == (True, "remission")
    scale = shown["measures"]["phq9@1"]
    assert (scale["last"]["total"], scale["change"]["improvement"]) == (4, 12)
    assert (scale["follow_up"]["last"]["total"], scale["follow_up"]["change"]["improvement"]) == (17, -1)


def test_case_4_a_positive_item_entered_by_mistake_is_not_voided_nor_signed_over_by_the_therapist_alone(imported):
    story = Story()
    client = begun(story)
    client.at(FIRST + WEEK)
    session = client.tell("record_session", attendance="5", minutes=50, participants=["client"])
    measure = client.tell("record_measure", **PHQ9_AT_RISK)
    void = {"reason": "Entered by mistake.", "supersedes": measure, "void": True}
    alone = refuse(client, "amend", "amendment_agreed", **void)
    unreviewed = refuse(client, "sign_session", "risk_reviewed", session=session)
    client.tell("amend", **void)
    story.lines[-1] |= SUPERVISOR
    still = refuse(client, "sign_session", "risk_reviewed", session=session)
    refused(imported(story), alone, unreviewed, still)
    shown = imported.shown()
    assert ({"risk", "unsigned"} <= set(shown["attention"]), "phq9@1" in shown["measures"]) == (True, False)

    client.tell("review_risk", level="none")
    client.sign(session)
    again = imported(story)
    assert (again["accepted"], again["known"], len(again["refused"])) == (2, len(story.lines) - 5, 3)
    assert not {"risk", "unsigned"} & set(imported.shown()["attention"])


def test_case_5_a_client_who_became_worse_is_not_told_as_better_and_is_told_as_worse_with_an_onward_plan(imported):
    story = Story()
    client = ready_to_end(story, 16, 22)
    client.tell("decide_continuation", decision="none")
    unplanned = refuse(client, "complete", "alternative_offered", outcome="deterioration")
    client.tell("decide_continuation", decision="alternative", plan="Medication, reviewed by the psychiatrist.")
    better = refuse(client, "complete", "outcome_fits_measures", outcome="remission")
    client.tell("complete", outcome="deterioration")
    refused(imported(story), unplanned, better)
    shown = imported.shown()
    assert (shown["state"], shown["ending"]["outcome"]) == ("completed", "deterioration")
    assert shown["outcome"]["reliable_deterioration"]


def test_case_6_after_consent_is_withdrawn_no_phase_begins_and_a_session_that_took_place_is_recorded(imported):
    story = Story()
    client = in_middle(story, 7, phq9=16, ifr=8, mspss=40)
    client.at(client.now + DAY).tell("withdraw_consent", scope="treatment")
    weekly(client, 1)
    final = refuse(client, "begin_final", "consent_not_withdrawn")
    refused(imported(story), final)
    shown = imported.shown()
    assert shown["state"] == "middle"
    assert "consent" in shown["attention"]
    assert shown["counters"]["attended"] == {"initial": 1, "middle": 8, "final": 0}


def test_case_7_an_ending_agreed_in_session_10_of_12_is_ended_by_agreement_and_not_completed(imported):
    story = Story()
    client = ready_to_end(story, 16, 4, sessions=1)
    client.tell("decide_continuation", decision="none")
    early = refuse(client, "complete", "final_held final_attended contracted_weeks_served", outcome="remission")
    agreed = {"end_code": "46", "outcome": "remission", "last_contact": client.now.date().isoformat(), "risk_status": "none"}
    client.tell("end_early", reason="Both find that the work is done.", **agreed)
    refused(imported(story), early)
    shown = imported.shown()
    assert (shown["state"], shown["progress"], shown["attention"]) == ("ended_early", "session 10 of 12, week 10 of 12", ())
    ending = shown["ending"]
    assert (ending["end_code"], ending["outcome"], ending["left"], ending["owed"]) == ("46", "remission", "final", ())
    assert shown["measures"]["phq9@1"]["last"]["total"] == 4


def test_case_9_a_colleague_on_duty_raises_the_risk_in_one_line_and_the_therapist_sees_it(imported):
    story = Story()
    client = begun(story, phq9=16)
    client.at(client.now + DAY)
    contact = {"trigger": "record_contact", "data": {"kind": "crisis", "minutes": 25, "risk": True}}
    raised = {"trigger": "raise_risk", "data": {"level": "acute", "plan": "Her sister stays.", "told": ["Crisis team"]}}
    call = [each | {"occurred_at": client.now.isoformat()} for each in (contact, raised)]
    by_colleague = {"course": "Client", "person": COLLEAGUE.person}
    story.lines.append(by_colleague | {"together": call})
    story.lines.append(by_colleague | {"together": [raised]})
    story.lines.append(by_colleague | {"trigger": "note", "data": {"text": "Told."}})
    told = len(story.lines)
    assert {each["line"]: each["why"] for each in imported(story)["refused"]} == dict.fromkeys((told - 1, told), NOT_SEEN)

    shown = imported.shown()
    assert (shown["therapist"], shown["risk"]["level"], "risk" in shown["attention"]) == (THERAPIST, "acute", True)

    async def seen_by_colleague(reads: CourseReads):
        with pytest.raises(NotFound):
            await reads.course(COLLEAGUE, shown["id"])
        return [each.actor.person for each in await reads.history(service_walk.THERAPIST, shown["id"], 0, 50)]

    assert imported.read(seen_by_colleague)[-2:] == [COLLEAGUE.person] * 2
    assert imported(story)["known"] == told - 2


def test_case_11_a_clinic_that_measures_with_the_bdi_alone_leads_a_course_from_start_to_completion(imported):
    story = Story()
    client = in_middle(story, 8, ("baseline_of_every_aim",), bdi2=31)
    client.tell("begin_final")
    weekly(client, 3)
    client.reviewed_gains()
    client.tell("relinquish_sick_role")
    client.tell("decide_continuation", decision="none")
    client.scores(bdi2=9)
    client.tell("complete", outcome="remission")
    overridden(story, "end_of_every_aim")
    refused(imported(story))
    shown = imported.shown()
    assert (shown["state"], list(shown["measures"])) == ("completed", ["bdi2@1"])
    scale = shown["measures"]["bdi2@1"]
    assert (scale["baseline"]["total"], scale["last"]["total"], scale["change"]["improvement"]) == (31, 9, 22)

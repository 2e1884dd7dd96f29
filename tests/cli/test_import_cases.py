"""Courses as a therapist tells them (`clinical.md`), imported from a file years after they took place."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from support import service_walk
from support.published import THERAPIST, WEEK, Story, Telling, TellingOfGroup

from ipt_workflow.errors import NotFound
from ipt_workflow.service.clinic import NOT_SEEN
from ipt_workflow.service.reads import CourseReads

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
COLLEAGUE = msgspec.structs.replace(service_walk.THERAPIST, person="therapist-2")
SUPERVISOR = {"person": "supervisor-1", "role": "supervisor"}
PHQ9_AT_RISK = {"instrument": "phq9", "items": [1, 1, 1, 1, 1, 1, 1, 1, 3]}


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

    async def seen_by_colleague(clinic):
        reads = CourseReads(clinic)
        with pytest.raises(NotFound):
            await reads.course(COLLEAGUE, shown["id"])
        return [each.actor.person for each in await reads.history(service_walk.THERAPIST, shown["id"], 0, 50)]

    assert imported.read(seen_by_colleague)[-2:] == [COLLEAGUE.person] * 2
    assert imported(story)["known"] == told - 2


def test_case_10_a_contract_lengthened_with_a_supervisors_agreement_counts_after_a_reading_that_came_overnight(imported):
    story = Story()
    client = in_middle(story, 8, phq9=16, ifr=8, mspss=40)
    client.at(client.now + DAY / 2).scores(phq9=14)
    story.lines[-1] |= {"person": "hospital", "role": "ehr"}
    longer = {"sessions": 18, "weeks": 18, "client_agrees": True, "therapist_agrees": True}
    why = "The dispute has come back."
    client.at(client.now + DAY / 2)
    alone = refuse(client, "amend_contract", "contract_in_range", reason=why, **longer)
    client.tell("amend_contract", reason=why, **longer)
    story.lines[-1]["cosigned_by"] = {"person": "supervisor-1"}
    refused(imported(story), alone)
    assert imported.shown()["contract"]["sessions"] == 18

    course = imported.shown()["id"]
    reading, entry = imported.read(lambda clinic: CourseReads(clinic).history(service_walk.THERAPIST, course, client.seq - 2, 2))
    assert (reading.trigger, reading.actor.role) == ("record_measure", "ehr")
    assert (entry.trigger, entry.actor.person, entry.actor.role) == ("amend_contract", THERAPIST, "therapist")
    assert (entry.cosigned_by, entry.occurred_at) == ("supervisor-1", client.now)


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


def test_a_forgotten_session_that_leaves_no_room_says_of_each_later_entry_why(imported):
    story = Story()
    client = in_middle(story, 8, phq9=16, ifr=8, mspss=40)
    client.at(client.now + DAY).tell("begin_final")
    fifth = client.now - 3 * WEEK
    client.at(fifth)
    forgotten = refuse(client, "record_session", "later_entries_hold", attendance="5")
    report = imported(story)
    refused(report, forgotten)
    (line,) = report["refused"]
    told = [each.partition(":")[0].partition(" ")[2] for each in line["why"].split("[")[1:]]
    assert told == ["record_session", "begin_final"]
    assert "The middle phase had had all its sessions by then." in line["why"]


def invited(story: Story, name: str, joins: dt.datetime) -> Telling:
    """A client after the individual meeting, with all that the first phase needs but a session."""
    client = story.course(name, "ipt-group", joins - WEEK, indication="depression")
    client.tell("record_consent", scope="treatment")
    client.tell("start", format="group", provider="non_specialist", supervisor="supervisor-1")
    client.tell("record_contact", kind="pre_group", minutes=60)
    client.tell("record_evaluation", diagnosis="Told.")
    client.inventoried({"id": "partner"})
    client.ill()
    client.at(joins).scores(phq9=16, ifr=8, mspss=40)
    client.tell("select_focus", primary="role_dispute", stage="renegotiation", people=["partner"])
    return client


def meets(group: TellingOfGroup, week: int) -> None:
    """The session of a week, which all attend, and the step into the next phase that is due at its end."""
    at = FIRST + (week - 1) * WEEK
    group.session(at, 90, (), dict.fromkeys(group.members, "role_dispute"))
    for client in group.members.values():
        client.at(at + dt.timedelta(hours=2))
        if week == 6:
            client.tell("announce_ending")
        if (week, client.name) in {(1, "First"), (3, "Late")}:
            client.tell("begin_middle")
        if week == 7:
            client.tell("begin_final")


def test_case_12_who_joins_a_group_of_eight_sessions_in_the_third_week_and_attends_the_rest_completes(imported):
    story = Story()
    first = invited(story, "First", FIRST - DAY)
    group = story.group("Tuesday", "ipt-group", first)
    first.agreed(8, 8)
    for week in (1, 2):
        meets(group, week)
    late = invited(story, "Late", FIRST + 2 * WEEK - DAY)
    group.joins(late)
    late.agreed(8, 8)
    for week in range(3, 9):
        meets(group, week)
    for client in (first, late):
        client.reviewed_gains()
        client.tell("decide_continuation", decision="none")
        client.scores(phq9=4, ifr=5, mspss=50)
        client.tell("complete", outcome="remission")
        group.leaves(client.name, "completed")
    refused(imported(story))
    assert imported(story)["known"] == len(story.lines)

    shown = imported.courses()
    late = shown["Late"]
    assert [(each["state"], each["overrides"], each["counters"]["remaining"]) for each in shown.values()] == [
        ("completed", 0, 0)
    ] * 2
    assert (sum(late["counters"]["attended"].values()), late["held_before"]["sessions"]) == (6, 2)
    assert late["progress"] == "session 8 of 8, week 8 of 8"
    assert len({session["group_session"] for each in shown.values() for session in each["sessions"]}) == 8

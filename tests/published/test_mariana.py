"""IPT-A: "Mariana".

Source: the chapter on adolescents of Markowitz and Weissman (eds), Casebook of Interpersonal Psychotherapy, 2012
(ebrary.net/75386 to 75389). From it: major depression, passive suicidal ideation and earlier self-injury; a safety plan made with mother and
daughter before the first session; initial phase in sessions 1 to 4, middle phase from session 5, to which she came with daily thoughts of
dying after a quarrel with her father; an admission to the psychiatric emergency room more than six weeks before session 10; three sessions
remaining as session 10 began; her mother in part of it; symptoms gone; role disputes in the family beside role transitions.

Ours: all dates; that the emergency room was on the day of session 5; two weeks without a session, so that session 10 is over six weeks after
it; PHQ-9, IFR and MSPSS instead of her mood ratings, and all answers and totals; that the mother also came to the first session; the dispute as the primary
area, with the mother; twelve weeks; that the ending was raised in session 9; the continuation decided.
"""

import datetime as dt

from support.published import WEEK, Story

MONDAY = dt.datetime(2024, 7, 1, 15, 0, tzinfo=dt.UTC)
PASSIVE = [2, 2, 2, 2, 2, 2, 1, 2, 1]
CRISIS = [3, 3, 2, 3, 2, 3, 2, 2, 3]
BETTER = [1, 1, 1, 1, 1, 1, 1, 1, 0]
WELL = [0, 1, 1, 0, 0, 0, 1, 0, 0]
WEEKS = (0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13)  # since the first session
TWO_OF_THEM = (5, 6)


def story() -> Story:
    story = Story()
    mariana = story.course("Mariana", "ipt-a", MONDAY - WEEK, indication="adolescent_depression", age_band="12-18")
    mariana.tell(
        "raise_risk", level="elevated", plan="Emergency number; pills and razors put away; tells her mother.", told=["Mother"]
    )
    for who in ("client", "guardian"):
        mariana.tell("record_consent", scope="treatment", who=who)
    mariana.at(MONDAY).tell("start")
    _initial(mariana)
    _crisis(mariana.at(MONDAY + 4 * WEEK))
    for week in TWO_OF_THEM:
        mariana.at(MONDAY + week * WEEK).tell("record_session", attendance="2", excused=True)
    for week in WEEKS[5:9]:
        mariana.at(MONDAY + week * WEEK)
        if week == WEEKS[5]:
            mariana.tell("review_risk", reason="No thoughts of dying since.", level="monitored", plan="As before.", told=["Mother"])
        if week == WEEKS[7]:
            mariana.tell("record_measure", instrument="phq9", items=BETTER)
        mariana.session(45, focus="role_dispute")
    mariana.tell("announce_ending", feelings="Told.")
    _final(mariana)
    return story


def _initial(mariana) -> None:
    mariana.tell("record_measure", instrument="phq9", items=PASSIVE)
    mariana.tell("review_risk", level="elevated", plan="The safety plan stands.", told=["Mother"])
    mariana.scores(ifr=7, mspss=36)
    first = mariana.tell("record_session", attendance="5", minutes=45, participants=["client", "parent"])
    mariana.sign(first)
    mariana.tell("record_evaluation", diagnosis="Told.")
    mariana.ill("limited")
    for week in WEEKS[1:3]:
        mariana.at(MONDAY + week * WEEK).session(45)
    mariana.inventoried({"id": "mother"}, {"id": "father"}, {"id": "brother"}, {"id": "sister"})
    mariana.at(MONDAY + WEEKS[3] * WEEK).session(45)
    mariana.formulated()
    mariana.tell(
        "select_focus",
        primary="role_dispute",
        secondary="role_transition",
        people=["mother"],
        stage="renegotiation",
        old_role="A girl at home in her country",
        new_role="A pupil in the United States",
    )
    mariana.agreed(12, 12, crisis_plan="Told.")
    mariana.tell("begin_middle")


def _crisis(mariana) -> None:
    mariana.tell("record_measure", instrument="phq9", items=CRISIS)
    mariana.tell("raise_risk", level="acute", plan="Psychiatric emergency room today.", told=["Mother"])
    session = mariana.tell("record_session", attendance="5", minutes=50)
    mariana.tell("record_contact", kind="crisis", medium="face_to_face", participants=["client", "parent"])
    mariana.tell("refer_on", target="Psychiatric emergency room", urgent=True)
    mariana.tell("review_risk", level="acute", plan="Seen in the emergency room; her mother stays with her.", told=["Mother"])
    mariana.sign(session, "role_dispute")


def _final(mariana) -> None:
    mariana.at(MONDAY + WEEKS[9] * WEEK).tell("begin_final")
    mariana.session(45, "parent", focus="role_dispute")
    for week in WEEKS[10:]:
        mariana.at(MONDAY + week * WEEK).session(45, focus="role_dispute")
    mariana.tell("record_measure", instrument="phq9", items=WELL)
    mariana.scores(ifr=3, mspss=60)
    mariana.tell("review_risk", reason="No thoughts of dying for more than six weeks.", level="none", told=["Mother"])
    mariana.reviewed_gains()
    mariana.tell("decide_continuation", decision="none")
    mariana.tell("relinquish_sick_role")
    mariana.tell("complete", outcome="remission")


def test_her_course_is_told_from_the_safety_plan_to_remission(over_http):
    shown = over_http.shown["Mariana", "ipt-a"]
    assert (shown["state"], shown["ending"]["outcome"]) == ("completed", "remission")
    assert shown["counters"]["attended"] == {"initial": 4, "middle": 5, "final": 3}
    assert shown["outcome"]["reliable_recovery"]
    assert (shown["overrides"], shown["deviations"], shown["attention"]) == (0, 0, [])
    crisis = next(each for each in shown["sessions"] if each["at"].startswith("2024-07-29"))
    tenth = next(each for each in shown["sessions"] if each["phase"] == "final")
    assert dt.datetime.fromisoformat(tenth["at"]) - dt.datetime.fromisoformat(crisis["at"]) > 6 * WEEK


def test_her_crisis_is_seen_until_she_is_better(over_http):
    key = "Mariana", "ipt-a"
    days = list(over_http.asked[key])
    assert over_http.days(key, "risk") == [day for day in days if day < dt.date(2024, 8, 19)]
    assert over_http.days(key, "deteriorating") == [day for day in days if dt.date(2024, 7, 29) <= day < dt.date(2024, 9, 2)]
    assert over_http.days(key, "not_improving") == [
        dt.date(2024, 8, 19),
        dt.date(2024, 8, 26),
    ]  # from session 6 to the next reading
    assert over_http.days(key, "not_attending") == []  # two appointments were called off in time


def test_imported_from_paper_it_is_the_same_course(over_http, by_import):
    assert by_import.entries == over_http.entries
    assert by_import.courses == over_http.courses

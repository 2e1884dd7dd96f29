"""Perinatal IPT: "Ellen".

Source: the chapter on postpartum depression of Markowitz and Weissman (eds), Casebook of Interpersonal Psychotherapy, 2012
(ebrary.net/75396 to 75399). From it: twelve weeks agreed; a Hamilton score of 25 and an EPDS score of 24 in the first session; diagnosis and
sick role given in it; sessions 1 to 3 initial and 4 to 9 middle; the transition to being a mother, beside a role dispute; a husband who
supports her; whether to go on is decided at the end of the twelve weeks.

Ours: all dates; twelve sessions, one a week, of which the last three are the final phase; the dispute with her own mother; IFR, MSPSS and all
scores but the two; when each part of the assessment was written down; that the ending was raised in session 8; the end told as remission.
"""

import datetime as dt

from support.published import WEEK, Story

FIRST = dt.datetime(2023, 9, 5, 10, 0, tzinfo=dt.UTC)


def story() -> Story:
    story = Story()
    ellen = story.course("Ellen", "ipt-perinatal", FIRST - WEEK, indication="postpartum_depression")
    ellen.at(FIRST).tell("record_consent", scope="treatment")
    ellen.tell("start")
    ellen.session()
    ellen.scores(hrsd17=25, epds=24, ifr=7, mspss=40)
    ellen.tell("record_evaluation", diagnosis="Told.")
    ellen.ill()
    ellen.at(FIRST + WEEK).session()
    ellen.inventoried({"id": "husband"}, {"id": "daughter"}, {"id": "mother"})
    ellen.at(FIRST + 2 * WEEK).session()
    ellen.formulated()
    ellen.tell(
        "select_focus",
        primary="role_transition",
        secondary="role_dispute",
        people=["mother"],
        stage="renegotiation",
        old_role="A woman with work, friends and time",
        new_role="A mother at home",
    )
    ellen.agreed(12, 12)
    ellen.tell("begin_middle")
    for week in range(3, 9):
        ellen.at(FIRST + week * WEEK).session(focus="role_dispute" if week == 6 else "role_transition")
        if week == 5:
            ellen.scores(hrsd17=15, epds=15)
        if week == 7:
            ellen.tell("announce_ending")
    ellen.tell("begin_final")
    for week in range(9, 12):
        ellen.at(FIRST + week * WEEK).session(focus="role_transition")
    ellen.scores(hrsd17=6, epds=7, ifr=3, mspss=66)
    ellen.tell("set_dispute_stage", stage="resolved")
    ellen.reviewed_gains()
    ellen.tell("decide_continuation", decision="none", plan="Told.")
    ellen.tell("relinquish_sick_role")
    ellen.tell("complete", outcome="remission")
    return story


def test_her_twelve_weeks_are_told_with_both_scales(over_http):
    shown = over_http.shown["Ellen", "ipt-perinatal"]
    assert (shown["state"], shown["progress"]) == ("completed", "session 12 of 12, week 12 of 12")
    assert shown["counters"]["attended"] == {"initial": 3, "middle": 6, "final": 3}
    scores = {name: (each["baseline"]["total"], each["last"]["total"]) for name, each in shown["measures"].items()}
    assert (scores["hrsd17@1"], scores["epds@1"]) == ((25, 6), (24, 7))
    assert shown["measures"]["hrsd17@1"]["baseline"]["band"] == "very severe"
    assert shown["measures"]["hrsd17@1"]["change"]["remission"]
    assert shown["measures"]["epds@1"]["change"]["recovery"]
    assert (shown["overrides"], shown["deviations"], shown["attention"]) == (0, 0, [])


def test_imported_from_paper_it_is_the_same_course(over_http, by_import):
    assert by_import.entries == over_http.entries
    assert by_import.courses == over_http.courses

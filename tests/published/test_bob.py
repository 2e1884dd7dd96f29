"""IPSRT: "Bob".

Source: Swartz, Markowitz and Frank, IPT for unipolar and bipolar disorders, in a handbook of mood disorders
(www.alpfmedical.info/bipolar-disorder/clinical-vignette-2.html, and for the phases integrating-the-components.html). From it: a married man
of 52 with bipolar disorder, depressed for six months under medication; three weeks of the Social Rhythm Metric, with days and nights reversed,
nights on the Internet from midnight to five, sleep by day; isolation; bedtime moved from six to two in the morning over several weeks; a daily
walk to a shop and one call around the dinner hour; slow progress, some improvement of mood; then skills for dealing with people.

Ours: all dates; seventeen weekly sessions, four of them initial, within what IPSRT is found to take, and three final; interpersonal deficits as
the area; all times but those of bed; HRSD, IFR, MSPSS and YMRS, and all scores; steps of one hour; that the prescriber reviewed his medication in
the first and the seventh week; the end told as a partial response, and maintenance after it.
"""

import datetime as dt

from support.published import WEEK, Story, Telling

FIRST = dt.datetime(2023, 2, 6, 16, 0, tzinfo=dt.UTC)
BEDTIMES = {5: "05:00", 7: "04:00", 9: "03:00", 11: "02:00"}  # aimed for from this week on
REVERSED = {"out_of_bed": "14:00", "first_contact": "19:00", "start_of_day": "15:00", "dinner": "20:00", "to_bed": "06:00"}


def story() -> Story:
    story = Story()
    bob = story.course("Bob", "ipsrt", FIRST - WEEK, indication="bipolar_disorder", age_band="45-64")
    bob.at(FIRST).tell("record_consent", scope="treatment")
    bob.tell("start")
    bob.session()
    bob.tell("record_evaluation", diagnosis="Told.")
    bob.tell("record_prescriber_review", findings="Told.")
    bob.scores(hrsd17=21, ymrs=2, ifr=8, mspss=24)
    for week in (1, 2, 3):
        bob.at(FIRST + week * WEEK).session()
        _rhythm(bob, REVERSED)
    bob.inventoried({"id": "wife"}, {"id": "friend"})
    bob.formulated()
    bob.ill()
    bob.tell("select_focus", primary="interpersonal_deficits", others_do_not_fit=True, people=["friend"])
    bob.agreed(17, 17)
    bob.tell("begin_middle")
    _shifted(bob)
    bob.tell("begin_final")
    for week in range(14, 17):
        bob.at(FIRST + week * WEEK).session(focus="interpersonal_deficits")
    bob.scores(hrsd17=13, ymrs=2, ifr=6, mspss=36)
    bob.reviewed_gains()
    bob.tell("decide_continuation", decision="maintenance")
    bob.tell("relinquish_sick_role")
    bob.tell("complete", outcome="partial_response")
    return story


def _rhythm(bob: Telling, times: dict[str, str]) -> None:
    """The week that is over: every day at the same times, but that he went to bed ninety minutes later on two."""
    first = (bob.now - WEEK).date()
    later = times | {"to_bed": f"{int(times['to_bed'][:2]) + 1:02}:30"}
    days = [
        {"on": (first + dt.timedelta(days=day)).isoformat(), "times": later if day in {2, 5} else times, "mood": -2}
        for day in range(7)
    ]
    bob.tell("record_rhythm", instrument="srm5", week_of=first.isoformat(), days=days)


def _shifted(bob: Telling) -> None:
    """Ten sessions in which bedtime moves from six to two."""
    bed = REVERSED["to_bed"]
    for week in range(4, 14):
        bob.at(FIRST + week * WEEK).session(focus="interpersonal_deficits")
        _rhythm(bob, REVERSED | {"to_bed": bed})
        if week == 6:
            bob.tell("record_prescriber_review", findings="Told.")
        if week in BEDTIMES:
            bed = BEDTIMES[week]
            walk = {"activity": "start_of_day", "time": "15:00"}
            call = {"activity": "first_contact", "time": "19:00", "within_minutes": 60}
            bob.tell("set_rhythm_target", targets=[{"activity": "to_bed", "time": bed}, walk, call], plan="Told.")
        if week == 12:
            bob.tell("announce_ending")


def test_his_bedtime_moves_from_six_to_two_and_his_mood_improves_somewhat(over_http):
    shown = over_http.shown["Bob", "ipsrt"]
    assert (shown["state"], shown["ending"]["outcome"]) == ("completed", "partial_response")
    assert shown["counters"]["attended"] == {"initial": 4, "middle": 10, "final": 3}
    weeks = shown["rhythm"]["weeks"]
    assert shown["rhythm"]["count"] == 13
    assert {(each["hits"], each["activities"], each["score"]) for each in weeks} == {
        (33, 5, 6.6)
    }  # four activities hit on seven days, bedtime on five
    assert [(each["met"], each["aimed"]) for each in weeks[:5]] == [(0, 0)] * 5
    assert [(each["met"], each["aimed"]) for each in weeks[5:]] == [(19, 21)] * 8
    assert {each["activity"]: each["time"] for each in shown["rhythm"]["targets"]}["to_bed"] == "02:00"
    assert shown["measures"]["hrsd17@1"]["change"]["improvement"] == 8
    assert not shown["measures"]["hrsd17@1"]["change"]["response"]
    assert (shown["overrides"], shown["deviations"], shown["attention"]) == (0, 0, [])


def test_imported_from_paper_it_is_the_same_course(over_http, by_import):
    assert by_import.entries == over_http.entries
    assert by_import.courses == over_http.courses

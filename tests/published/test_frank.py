"""Maintenance IPT: a woman of the trial of Frank and others, 2007.

Source: Randomized trial of weekly, twice-monthly, and monthly interpersonal psychotherapy as maintenance treatment for women with recurrent
depression, Am J Psychiatry 164:761 (PMC3579577). From it: a woman of 20 to 60 with recurrent unipolar depression; remission with weekly IPT
alone; then monthly IPT without medication for two years, without a recurrence.

Ours: all dates; twelve acute sessions, three initial and three final; grief as the area; HRSD with IFR and MSPSS, and all scores; one session
every thirty days, so that there are 24; reviews twice a year; the two years told as remission.
"""

import datetime as dt

from support.published import WEEK, Story, Telling

FIRST = dt.datetime(2021, 3, 1, 11, 0, tzinfo=dt.UTC)
MONTH = dt.timedelta(days=30)


def story() -> Story:
    story = Story()
    acute = story.course("Frank 2007", "ipt", FIRST - WEEK, indication="depression", age_band="25-44")
    acute.at(FIRST).tell("record_consent", scope="treatment")
    acute.tell("start")
    _until_remission(acute)
    _two_years(acute.followed_up("ipt-maintenance", "maintenance"))
    return story


def _until_remission(acute: Telling) -> None:
    acute.session()
    acute.tell("record_evaluation", diagnosis="Told.")
    acute.ill()
    acute.scores(hrsd17=20, ifr=7, mspss=40)
    acute.at(FIRST + WEEK).session()
    acute.inventoried({"id": "father", "deceased": True}, {"id": "sister"})
    acute.at(FIRST + 2 * WEEK).session()
    acute.formulated()
    acute.tell("select_focus", primary="grief", people=["father"])
    acute.agreed(12, 12)
    acute.tell("begin_middle")
    for week in range(3, 9):
        acute.at(FIRST + week * WEEK).session(focus="grief")
    acute.tell("announce_ending")
    acute.tell("begin_final")
    for week in range(9, 12):
        acute.at(FIRST + week * WEEK).session(focus="grief")
        acute.scores(hrsd17=5)
    acute.scores(ifr=2, mspss=66)
    acute.reviewed_gains()
    acute.tell("decide_continuation", decision="maintenance")
    acute.tell("relinquish_sick_role")
    acute.tell("complete", outcome="remission")


def _two_years(later: Telling) -> None:
    begun = later.now + MONTH
    later.at(begun).tell("start")
    later.agreed(24, 104, cadence_days=30)
    for month in range(24):
        later.at(begun + month * MONTH).session(focus="grief")
        if month % 6 == 0:
            later.scores(hrsd17=5)
            later.tell("record_review", decision="continue")
    later.tell("announce_ending")
    later.scores(hrsd17=5, ifr=2, mspss=66)
    later.tell("record_review", decision="end")
    later.tell("plan_for_recurrence", anticipate=["Told."], identify=["Told."], manage=["Told."])
    later.tell("decide_continuation", decision="none")
    later.tell("complete", outcome="remission")


def test_two_monthly_years_follow_weekly_sessions_to_remission(over_http):
    acute = over_http.shown["Frank 2007", "ipt"]
    later = over_http.shown["Frank 2007", "ipt-maintenance"]
    assert (acute["state"], later["state"]) == ("completed", "completed")
    assert acute["measures"]["hrsd17@1"]["change"]["remission"]
    assert (acute["followed_by"], later["linked_from"]) == ([later["id"]], acute["id"])
    assert later["focus"]["primary"] == "grief"
    assert later["consents"] == ["treatment"]
    assert later["counters"]["attended"] == {"maintenance": 24}
    assert later["clock"]["week"] in {99, 100}
    for each in (acute, later):
        assert (each["overrides"], each["deviations"], each["attention"]) == (0, 0, [])


def test_the_ending_of_two_years_is_near_in_their_last_weeks_only(over_http):
    key = "Frank 2007", "ipt-maintenance"
    days = list(over_http.asked[key])
    assert len(days) == 24
    assert over_http.days(key, "ending") == days[-3:-1]  # two sessions remain, then one


def test_imported_from_paper_they_are_the_same_courses(over_http, by_import):
    assert by_import.entries == over_http.entries
    assert by_import.courses == over_http.courses

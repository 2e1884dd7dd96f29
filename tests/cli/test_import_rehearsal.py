"""A dry run decides on what its own lines have changed, over what the database holds. `Imported` compares it with the run each time."""

import datetime as dt

from support.published import WEEK, Story, Telling

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
MOVE = "They were about the other client."


def begun(story: Story, name: str) -> Telling:
    client = story.course(name, "ipt", FIRST - WEEK, indication="depression")
    client.at(FIRST).tell("record_consent", scope="treatment")
    client.tell("start")
    return client


def test_what_happened_before_a_line_of_an_earlier_run_is_placed_there(imported):
    story = Story()
    client = begun(story, "Client")
    client.at(FIRST + WEEK).session()
    assert imported(story)["refused"] == []
    client.at(FIRST + 2 * WEEK).session()
    client.at(FIRST + WEEK / 2).scores(phq9=16)
    client.tell("amend", supersedes=client.seq, reason="A digit was wrong.", data={"total": 15})
    assert imported(story)["refused"] == []
    shown = imported.shown()
    assert shown["measures"]["phq9@1"]["baseline"]["total"] == 15
    client.at(FIRST + WEEK + dt.timedelta(minutes=20)).tell("record_session", attendance="3", minutes=50)
    (refused,) = imported(story)["refused"]
    assert refused["why"].startswith("record_session refused: overlaps_session")


def test_entries_that_an_earlier_line_moved_are_gone_from_the_course_and_there_on_the_other(imported):
    story = Story()
    wrong, right = begun(story, "Wrong"), begun(story, "Right")
    imported(story)
    ids = {name: course["id"] for name, course in imported.courses().items()}
    measure = wrong.tell("record_measure", instrument="phq9", total=16)
    wrong.tell("move_entries", course=ids["Right"], entries=[measure], reason=MOVE)
    wrong.tell("amend", supersedes=measure, reason="A digit was wrong.", data={"total": 15})
    gone = len(story.lines)
    right.seq += 1
    right.at(FIRST).tell("amend", supersedes=right.seq, reason="A digit was wrong.", data={"total": 15})
    right.tell("move_entries", course=ids["Right"], entries=[right.seq - 1], reason=MOVE)
    nowhere = len(story.lines)
    assert [each["line"] for each in imported(story)["refused"]] == [gone, nowhere]
    shown = imported.courses()
    assert (shown["Wrong"]["measures"], shown["Right"]["measures"]["phq9@1"]["last"]["total"]) == ({}, 15)

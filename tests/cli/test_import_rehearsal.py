"""A dry run decides on what its own lines have changed, over what the database holds. `Imported` compares it with the run each time."""

import copy
import datetime as dt
from random import Random

import pytest
from support.published import WEEK, Line, Story, Telling

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
MOVE = "They were about the other client."


def begun(story: Story, name: str, protocol: str = "ipt") -> Telling:
    client = story.course(name, protocol, FIRST - WEEK, indication="depression")
    client.at(FIRST).tell("record_consent", scope="treatment")
    client.tell("start", supervisor="supervisor-1")
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


JUNK = (
    None,
    "",
    0,
    [],
    {},
    "x",
    "First",
    "5",
    "2199-01-01T00:00:00Z",
    "1800-01-01T00:00:00Z",
    True,
    {"First": "5"},
    {"person": "a"},
)
MORE = ("all", "session", "course", "group", "person", "role", "cosigned_by", "details", "opens", "together")


def spoilt(lines: list[Line], random: Random) -> list[Line]:
    """The lines with some left out, repeated, moved, or changed in one place."""
    spoilt = copy.deepcopy(lines)
    for _ in range(random.randint(1, 5)):
        line = spoilt.pop(random.randrange(len(spoilt)))
        what = random.choice(("left out", "repeated", "moved", "changed", "changed", "added to"))
        where = line["data"] if random.random() < 0.6 and isinstance(line.get("data"), dict) and line["data"] else line
        if what in {"changed", "added to"}:
            where[random.choice(tuple(where) if what == "changed" else MORE)] = random.choice(JUNK)
        for _ in range({"left out": 0, "repeated": 2}.get(what, 1)):
            spoilt.insert(random.randint(0, len(spoilt)), copy.deepcopy(line))
    return spoilt


@pytest.mark.matrix(6)
@pytest.mark.parametrize("seed", range(12))
def test_a_spoilt_file_is_rehearsed_as_it_is_run_and_so_is_the_right_one_after_it(imported, seed):
    story = Story()
    members = [begun(story, name, "ipt-group") for name in ("First", "Second")]
    group = story.group("Tuesday", "ipt-group", *members)
    for week in (1, 2):
        group.session(FIRST + week * WEEK, 90, (), {})
    group.leaves("Second", "moved")
    begun(story, "Third").tell("extend_phase", reason="One more session is needed.")
    story.lines[-1]["cosigned_by"] = {"person": "supervisor-1"}
    wrong = spoilt(story.lines, Random(seed))
    for lines in (wrong, story.lines):
        report = imported(lines)
        assert report["accepted"] + report["known"] + report["linked"] + len(report["refused"]) == len(lines)
    imported.courses()  # whose journals are whole

"""The names that a file gives to courses and sessions: one line gives a name, and a changed line gives no second thing."""

import datetime as dt

from support.published import WEEK, Line, Story, Telling

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
TAKEN = "another line was imported that gave the name 'Client' to a course: put that line back"
NOTE = {"course": "Client", "trigger": "note", "data": {"text": "Rang."}}


def ended() -> tuple[Story, Telling]:
    """A course that has ended, so that the client may have another."""
    story = Story()
    client = story.course("Client", "ipt", FIRST, indication="depression")
    client.tell("record_consent", scope="treatment")
    client.at(FIRST + WEEK)
    last = {"last_contact": FIRST.date().isoformat(), "risk_status": "none", "attempts": 2}
    client.tell("end_early", reason="Moved away.", end_code="48", **last)
    return story, client


CHANGES: tuple[Line, ...] = (
    {"occurred_at": (FIRST + dt.timedelta(hours=1)).isoformat()},
    {"data": {"source": "Another source", "indication": "depression"}},
    {"client_ref": "Corrected"},
    {"therapist": "therapist-2"},
    {"trigger": "adopt"},
)


def test_a_changed_opening_line_opens_no_second_course_and_what_follows_it_waits(imported):
    story, _ = ended()
    assert imported(story)["refused"] == []
    first = story.lines[0]
    story.lines.append(NOTE)
    for change in CHANGES:
        story.lines[0] = first | change
        report = imported(story)
        opening, *others = (each["why"] for each in report["refused"])
        assert opening.startswith(TAKEN), change
        assert {why.partition(": ")[0] for why in others} == {"course 'Client' is not opened by an earlier line of this file"}
        assert (report["accepted"], imported.rows()["course"]) == (0, 1)
    story.lines[0] = first
    assert imported(story)["accepted"] == 1


def test_another_file_may_not_give_a_name_again_to_another_course(imported):
    story, _ = ended()
    imported(story)
    other = Story()
    other.course("Client", "ipt", FIRST, indication="depression")
    other.lines[0]["client_ref"] = "Somebody else"
    other.lines.append(story.lines[1])
    report = imported(other)
    assert (report["accepted"], report["known"], len(report["refused"])) == (0, 0, 2)


def test_an_opening_line_that_a_file_has_twice_is_known_the_second_time(imported):
    story, _ = ended()
    story.lines.append(story.lines[0])
    assert imported(story) == {"accepted": len(story.lines) - 1, "known": 1, "linked": 0, "refused": []}


def test_a_refused_opening_line_gives_no_name(imported):
    story, _ = ended()
    wrong = story.lines[0] | {"protocol": "none"}
    story.lines.insert(0, wrong)
    assert [each["line"] for each in imported(story)["refused"]] == [1]

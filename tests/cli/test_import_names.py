"""The names that a file gives to courses and sessions: one line gives a name, and a changed line gives no second thing."""

import datetime as dt
import hashlib
import json
import sqlite3
from contextlib import closing

from support import databases
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


def test_what_is_kept_of_a_line_is_no_digest_that_a_guess_can_be_tested_against(imported):
    """Whoever guesses a line, an answer for each item among its words, has no digest of it to compare with."""
    story, _ = ended()
    imported(story)
    digests = {hashlib.sha256(json.dumps(line).encode()).hexdigest() for line in story.lines}
    scopes = {hashlib.sha256(f"import\nClient\n{digest}\n1".encode()).hexdigest() for digest in digests}
    kept = {value for row in databases.select(imported.settings, "SELECT scope, body FROM idempotency") for value in row}
    assert len(kept) == 2 * len(story.lines)
    assert not kept & (digests | scopes)
    assert {each.partition(":")[0] for (each,) in databases.select(imported.settings, "SELECT scope FROM idempotency")} == {
        "import"
    }


def test_lines_that_an_earlier_version_kept_are_known(imported):
    story, _ = ended()
    imported(story)
    with closing(sqlite3.connect(imported.settings.database_url.removeprefix("sqlite:///"))) as connection:
        for number, line in enumerate(story.lines):
            digest = hashlib.sha256(json.dumps(line).encode()).hexdigest()
            made_of = (
                json.dumps(["import", "course", "Client"], separators=(",", ":")) if number == 0 else f"import\nClient\n{digest}\n1"
            )
            scope = hashlib.sha256(made_of.encode()).hexdigest()
            connection.execute("UPDATE idempotency SET scope = ?, body = ? WHERE first_seq = ?", (scope, digest, number + 1))
        connection.commit()
    assert imported(story) == {"accepted": 0, "known": len(story.lines), "linked": 0, "refused": []}


def test_lines_about_what_was_erased_are_refused(imported):
    story, _ = ended()
    imported(story)
    with closing(sqlite3.connect(imported.settings.database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE entry_data SET salt = NULL, sealed = NULL")
        connection.commit()
    report = imported(story)
    assert (report["accepted"], report["known"], len(report["refused"])) == (0, 1, len(story.lines) - 1)
    assert {each["why"].partition(",")[0] for each in report["refused"]} == {"speaks of what was erased"}

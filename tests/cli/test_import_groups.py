"""Lines of groups: the rules are those of groups over HTTP, and a session reaches every member's course or none."""

import datetime as dt
from typing import Any

import pytest
from support import service_walk
from support.published import THERAPIST, WEEK, Line, Story, Telling, TellingOfGroup

from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters

FIRST = dt.datetime(2024, 1, 8, 10, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
SUPERVISOR = {"person": "supervisor-1", "role": "supervisor"}
BOTH = {"First": "5", "Second": "5"}


def member(story: Story, name: str, **opening: Any) -> Telling:
    """A client who has begun, on the day before the group first meets."""
    client = story.course(name, opening.pop("protocol", "ipt-group"), FIRST - WEEK, indication="depression")
    story.lines[-1] |= opening
    client.at(FIRST - 24 * HOUR).tell("record_consent", scope="treatment")
    client.tell("start", supervisor="supervisor-1")
    return client


def by(story: Story, name: str, person: str) -> None:
    """Whatever was told of a course, this person did."""
    for each in story.lines:
        if each.get("course") == name:
            each["person"] = person


def begun() -> tuple[Story, TellingOfGroup]:
    """Two members before the first session."""
    story = Story()
    return story, story.group("Tuesday", "ipt-group", member(story, "First"), member(story, "Second"))


def line(action: str, session: str | None = None, **data: Any) -> Line:
    return {"group": "Tuesday", "action": action, "data": data} | ({"session": session} if session else {})


def recorded(week: int = 1, attendance: dict[str, str] = BOTH, **data: Any) -> Line:
    at = FIRST + (week - 1) * WEEK
    told = {"attendance": attendance, "occurred_at": at.isoformat(), "minutes": 90}
    return line("record", f"week {week}", **told | data)


def signed(week: int = 1, **data: Any) -> Line:
    return line("sign", f"week {week}", occurred_at=(FIRST + (week - 1) * WEEK + 2 * HOUR).isoformat(), **data)


def shown(imported) -> Any:
    """The only group, as a supervisor sees it."""

    async def see(clinic):
        (found,) = await Groups(clinic).page(service_walk.SUPERVISOR, None, "", 9)
        return await Groups(clinic).one(service_walk.SUPERVISOR, found.id)

    return imported.read(see)


def signatures(imported) -> dict[str, list[tuple[str, dt.datetime]]]:
    """Who signed sessions on each client's course, and when."""

    async def read(clinic):
        reads, found = CourseReads(clinic), {}
        for each in await reads.caseload(service_walk.SUPERVISOR, Filters(), "", 9):
            history = await reads.history(service_walk.SUPERVISOR, each.id, 0, 99)
            found[each.client_ref] = [(one.actor.person, one.occurred_at) for one in history if one.trigger == "sign_session"]
        return found

    return imported.read(read)


def test_a_groups_history_is_imported_with_its_times_and_known_the_second_time(imported):
    story, group = begun()
    story.lines += [recorded(), signed(focus={"First": "role_dispute"})]
    group.members["First"].at(FIRST + 24 * HOUR)
    group.leaves("First", "moved")
    assert imported(story)["accepted"] == len(story.lines)
    before = imported.rows()
    assert imported(story)["known"] == len(story.lines)
    assert imported.rows() == before

    found = shown(imported)
    assert (found.label, found.facilitators, found.created_by) == ("published", (THERAPIST,), THERAPIST)
    first, second = found.members
    assert (first.joined_at, first.left_at, first.reason) == (FIRST - 24 * HOUR, FIRST + 24 * HOUR, "moved")
    assert (second.left_at, found.sessions[0].occurred_at, found.sessions[0].held) == (None, FIRST, True)
    for course in imported.courses().values():
        (session,) = course["sessions"]
        assert (session["group_session"], session["signed"]) == (found.sessions[0].id, True)
    assert signatures(imported) == {"First": [(THERAPIST, FIRST + 2 * HOUR)], "Second": [(THERAPIST, FIRST + 2 * HOUR)]}


def test_a_longer_file_goes_on_with_the_group_and_its_sessions(imported):
    story, _ = begun()
    story.lines.append(recorded())
    known = len(story.lines)
    assert imported(story)["refused"] == []
    story.lines += [signed(), line("facilitators", facilitators=[THERAPIST, "therapist-2"])]
    assert imported(story) == {"accepted": 2, "known": known, "linked": 0, "refused": []}
    assert shown(imported).facilitators == (THERAPIST, "therapist-2")


def test_a_session_that_one_course_refuses_is_recorded_for_nobody_and_imported_once_the_file_is_corrected(imported):
    story, _ = begun()
    consented = next(each for each in story.lines if each["course"] == "Second" and each["trigger"] == "start")
    story.lines.remove(consented)
    story.lines += [recorded(), signed()]
    first, second = imported(story)["refused"]
    assert (first["line"], first["course"], first["group"]) == (len(story.lines) - 1, None, "Tuesday")
    assert first["why"].startswith("record_session refused by Second: attendance_fits_state: ")
    assert second["why"] == "session: is not recorded by an earlier line of this file"
    rows = imported.rows()
    assert (rows["group_session"], rows["notice"]) == (0, 0)

    story.lines.insert(len(story.lines) - 2, consented)
    assert imported(story) == {"accepted": 3, "known": len(story.lines) - 3, "linked": 0, "refused": []}


def test_a_signature_that_one_course_refuses_is_written_on_none(imported):
    story, _ = begun()
    story.lines += [recorded(), signed(focus={"First": "no_such_area"})]
    (refused,) = imported(story)["refused"]
    assert refused["why"].startswith("sign_session refused by First: focus_area_allowed: ")
    assert signatures(imported) == {"First": [], "Second": []}


def test_each_facilitator_signs_the_courses_that_are_theirs(imported):
    story = Story()
    first = member(story, "First")
    second = member(story, "Second", therapist="therapist-2")
    by(story, "Second", "therapist-2")
    made = line("create", protocol="ipt-group", label="t", facilitators=[THERAPIST, "therapist-2"])
    story.lines.append(made | {"person": THERAPIST})
    for client, person in ((first, THERAPIST), (second, "therapist-2")):
        story.lines.append(line("join", course=client.name, joined_at=client.now.isoformat()) | {"person": person})
    unnamed = len(story.lines) + 1
    story.lines += [recorded(), recorded() | {"person": THERAPIST}]
    story.lines += [signed() | {"person": "therapist-2"}, signed(summary="x") | {"person": "therapist-2"}]
    report = imported(story)
    told = [(each["line"], each["why"]) for each in report["refused"]]
    assert told == [
        (unnamed, "person: is required, unless the group's only facilitator did it"),
        (unnamed + 3, "session: has nothing left to sign for therapist-2: name who gave it, or remove the line"),
    ]
    assert signatures(imported) == {"First": [], "Second": [("therapist-2", FIRST + 2 * HOUR)]}


def test_a_supervisor_adds_a_course_of_another_therapist_which_who_recorded_the_session_signs(imported):
    story, _ = begun()
    other = member(story, "Third", therapist="therapist-2")
    by(story, "Third", "therapist-2")
    joins = line("join", course="Third", joined_at=other.now.isoformat())
    story.lines += [joins, joins | SUPERVISOR]
    story.lines += [recorded(attendance=BOTH | {"Third": "5"}), signed()]
    (refused,) = imported(story)["refused"]
    assert refused["why"] == "data.course: is no course that you may see"
    assert len(shown(imported).sessions[0].attendance) == 3
    assert signatures(imported) == {name: [(THERAPIST, FIRST + 2 * HOUR)] for name in ("First", "Second", "Third")}


def test_a_session_that_a_course_has_recorded_otherwise_becomes_the_groups(imported):
    story, group = begun()
    group.members["First"].at(FIRST).tell("record_session", attendance="5", minutes=90, ref="Encounter/1")
    story.lines.append(recorded())
    assert imported(story)["refused"] == []
    session = shown(imported).sessions[0].id
    assert [[each["group_session"] for each in course["sessions"]] for course in imported.courses().values()] == [[session]] * 2


MADE = {"protocol": "ipt-group", "label": "published", "facilitators": [THERAPIST]}
WRONG: tuple[tuple[Line, str], ...] = (
    (line("close"), "action: must be one of create, facilitators, join, leave, record, sign"),
    (line("join") | {"trigger": "note"}, "trigger: is not known"),
    (recorded() | {"group": "Monday"}, "group 'Monday' is not made by an earlier line of this file"),
    ({"group": "Tuesday", "action": "record", "data": {}}, "session: is required: record names the session"),
    (line("join", "week 1", course="First"), "session: belongs to record and sign"),
    (line("create", **MADE | {"label": "other"}), "another line was imported that gave the name 'Tuesday' to a group"),
    ({"group": "B", "action": "create", "data": MADE | {"protocol": "ipt"}}, "data.protocol: ipt@2 is not for groups"),
    ({"group": "B", "action": "create", "data": {**MADE, "label": "A B"}}, "data.label: must match"),
    ({"group": "B", "action": "create", "data": {"protocol": "ipt-group", "label": "x"}}, "person: is required"),
    ({"group": "B", "action": "create", "data": MADE, "person": "therapist-2"}, "data.facilitators: must name you"),
    ({"group": "B", "action": "create", "data": MADE, "person": "a", "role": "auditor"}, "may not manage groups"),
    (line("join", course="Third"), "data.course: is not opened by an earlier line of this file"),
    (line("join"), "data.course: is required"),
    (line("join", course=7), "data.course: must be a string"),
    (line("join", course="First", joined_at=FIRST.isoformat()), "refused: group_one_at_a_time: "),
    (line("join", course="Other"), "refused: group_protocol: "),
    (line("join", course="First", joined_at="2199-01-01T00:00:00Z"), "data.joined_at: lies ahead"),
    (line("leave", course="Other", reason="moved"), "The group has never had such a member."),
    (line("leave", course="First", reason="bored"), "data.reason: must be one of completed, moved"),
    (line("leave", course="First", reason="moved", left_at=(FIRST - 2 * WEEK).isoformat()), "refused: group_times_in_order: "),
    (line("facilitators", facilitators=["therapist-2"]), "data.facilitators: must name you"),
    (recorded(2, {"First": "5"}), "data.attendance: lacks the member Second"),
    (recorded(2, BOTH | {"Other": "5"}), "data.attendance.Other: was no member of the group then"),
    (recorded(2, BOTH | {"Nobody": "5"}, minutes="90"), "data.attendance.Nobody: is not opened by an earlier line of this file"),
    (recorded(2, {"First": "5", "Second": "9"}), "data.attendance.Second: must be one of"),
    (recorded(2, all=False), "data.all: is true in every import: remove it"),
    (recorded(2) | SUPERVISOR, "may not record group sessions"),
    (recorded(1, minutes=80), "another line was imported that gave the name 'week 1' to a session"),
    (recorded(1) | {"session": "again"}, "refused: group_session_once: "),
    (signed(2), "session: is not recorded by an earlier line of this file"),
    (signed(1, focus={"Other": "grief"}), "data.focus.Other: is no member of this session"),
    (signed(1) | {"data": {"occurred_at": "2199-01-01T00:00:00Z"}}, "data.occurred_at: must not be more than 300 s ahead"),
)


def test_a_wrong_line_is_refused_with_what_would_be_right_and_the_next_is_taken(imported):
    story, _ = begun()
    member(story, "Other", protocol="ipt")
    story.lines.append(recorded())
    right = len(story.lines)
    story.lines += [wrong for wrong, _ in WRONG]
    story.lines.append(signed())
    report = imported(story)
    assert report["accepted"] == right + 1
    why = {each["line"]: each["why"] for each in report["refused"]}
    assert [(words, why[number]) for number, (_, words) in enumerate(WRONG, start=right + 1) if words not in why[number]] == []
    assert len(why) == len(WRONG)


@pytest.mark.parametrize("action", ("join", "leave"))
def test_who_names_nobody_is_told_everything_that_the_body_lacks(imported, action):
    story, _ = begun()
    story.lines.append(line(action, joined_at="yesterday", more=1))
    (refused,) = imported(story)["refused"]
    for field in ("data.course: is required", "data.more: is not known"):
        assert field in refused["why"]

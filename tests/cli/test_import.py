"""Importing NDJSON: every line is judged, what is refused is reported, and no line counts twice however often the file is run."""

import datetime as dt
import json
import os

import pytest
import sqlalchemy as sa
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.service import demo, imports
from ipt_workflow.service.audit import verification
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema import tables

SOURCE = {"source": "General practitioner", "indication": "depression"}


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Two whole courses, taken from courses that were walked to their end: one completed, one ended early."""
    courses = []

    async def fill(clinic):
        completed = await walk_to_the_end(clinic)
        ended = await service_walk.open_course(clinic, "EHR-2")
        await service_walk.walk(clinic, ended, "record_consent", "start", "end_early")
        for key, ref, course in (("A", "IMP-1", completed), ("B", "IMP-2", ended)):
            courses.append([as_line(key, ref, entry) for entry in await clinic.entries(course)])

    service_walk.database(tmp_path_factory.mktemp("exported"), fill)
    return [*courses[0][:5], *courses[1][:2], *courses[0][5:], *courses[1][2:]]


async def walk_to_the_end(clinic) -> str:
    course = await service_walk.open_course(clinic, "EHR-1")
    for step in demo.DONE:
        clinic.clock.advance(dt.timedelta(days=7) if step[0] == "record_session" else dt.timedelta(minutes=7))
        await demo._fire(clinic, Courses(clinic), service_walk.THERAPIST, course, step)
    return course


def as_line(key, ref, entry) -> dict:
    written, document = entry.written, entry.document
    line = {"course": key, "trigger": written.trigger, "data": document.data, "occurred_at": written.occurred_at.isoformat()}
    if document.reason:
        line["reason"] = document.reason
    if document.override:
        line["override"] = document.override
    return {**line, "client_ref": ref, "therapist": "therapist-1"} if written.trigger == "refer" else line


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return service_walk.database(tmp_path_factory.mktemp("import"))


class Import:
    """The command line's `import` on a database of its own."""

    def __init__(self, settings, folder) -> None:
        self.settings = settings
        self.file = folder / "courses.ndjson"

    def __call__(self, lines, *options: str, code: int = 0) -> dict:
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.file.write_text("\n".join(text) + "\n", encoding="utf-8")
        result = CliRunner().invoke(app, ["import", str(self.file), "--json", *options])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def read(self, function, *args):
        return service_walk.with_clinic(self.settings, lambda clinic: clinic.database.read(function, *args))

    def dump(self) -> dict:
        def everything(connection):
            return {
                name: [tuple(row) for row in connection.execute(sa.select(table))] for name, table in tables.METADATA.tables.items()
            }

        return self.read(everything)

    def count(self, table: str) -> int:
        return len(self.dump()[table])

    def states(self) -> dict[str, str]:
        async def listed(clinic):
            return await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 50)

        return {course.client_ref: course.state for course in service_walk.with_clinic(self.settings, listed)}

    def course(self, client_ref: str):
        """The course of a client, as it is stored."""

        async def found(clinic):
            listed = await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 50)
            (course_id,) = [course.id for course in listed if course.client_ref == client_ref]
            return (await clinic.courses.get(course_id)).course

        return service_walk.with_clinic(self.settings, found)


@pytest.fixture
def imported(empty, tmp_path, monkeypatch):
    settings = databases.copy(empty, tmp_path)
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    return Import(settings, tmp_path)


def report(accepted, known=0, refused=(), linked=0) -> dict:
    return {"accepted": accepted, "known": known, "linked": linked, "refused": list(refused)}


def test_two_whole_courses_are_imported_as_they_were_told(imported, lines):
    assert imported(lines) == report(len(lines))
    assert imported.states() == {"IMP-1": "completed", "IMP-2": "ended_early"}
    assert imported.count("entry") == len(lines)
    assert service_walk.with_clinic(imported.settings, verification.verify).ok


@pytest.mark.parametrize("options", ((), ("--dry-run",)))
def test_two_notes_on_one_evening_and_in_the_wrong_order_are_imported_with_their_true_times(imported, lines, options):
    """The first phase as it was, then session 3, its signature of today, the step at the end of that session, and session 4."""
    begin = next(index for index, line in enumerate(lines) if line["trigger"] == "begin_middle")
    first = [line for line in lines[:begin] if line["course"] == "A"]
    held, signature = (next(line for line in first if line["trigger"] == each) for each in ("record_session", "sign_session"))
    monday = dt.datetime.fromisoformat(first[-1]["occurred_at"]) + dt.timedelta(days=7)
    notes = [
        {**held, "occurred_at": monday.isoformat()},
        {**signature, "data": {**signature["data"], "session": len(first) + 1}, "occurred_at": None},
        {**lines[begin], "occurred_at": (monday + dt.timedelta(hours=1)).isoformat()},
        {**held, "occurred_at": (monday + dt.timedelta(days=7)).isoformat()},
        {**held, "trigger": "note", "data": {"text": "Rang."}, "occurred_at": (monday + dt.timedelta(days=2)).isoformat()},
        {**held, "trigger": "note", "data": {"text": "Rang."}, "occurred_at": (monday + dt.timedelta(days=1)).isoformat()},
    ]
    assert imported([*first, *notes], *options) == report(len(first) + len(notes))
    if not options:
        assert [session.phase for session in imported.course("IMP-1").sessions][-2:] == ["initial", "middle"]


def test_imported_entries_keep_their_times_and_say_that_they_came_by_the_command_line(imported, lines):
    imported(lines[:5])
    course = imported.read(stored_courses.course_ids, "default", "", 9)[0]
    entries = imported.read(stored_courses.load_entries, "default", course)
    assert [entry.written.occurred_at.isoformat() for entry in entries] == [line["occurred_at"] for line in lines[:5]]
    assert {entry.written.actor.via for entry in entries} == {"cli"}
    assert {entry.written.actor.person for entry in entries} == {"therapist-1"}


def test_a_file_that_is_run_again_doubles_nothing(imported, lines):
    imported(lines)
    before = imported.dump()
    assert imported(lines) == report(0, known=len(lines))
    assert imported.dump() == before


def test_a_dry_run_reports_the_same_and_writes_nothing(imported, lines):
    wrong = [*lines[:5], {"course": "A", "trigger": "begin_middle"}, *lines[5:]]
    before = imported.dump()
    rehearsed = imported(wrong, "--dry-run", code=1)
    assert imported.dump() == before
    assert imported(wrong, code=1) == rehearsed
    assert rehearsed["accepted"] == len(lines)


def test_a_dry_run_after_an_import_knows_what_is_there(imported, lines):
    imported(lines[:8])
    before = imported.dump()
    assert imported(lines, "--dry-run") == report(len(lines) - 8, known=8)
    assert imported.dump() == before
    assert imported(lines) == report(len(lines) - 8, known=8)


def test_refused_lines_are_reported_with_their_rules_and_the_rest_goes_on(imported, lines):
    early = {"course": "A", "trigger": "begin_middle"}
    found = imported([lines[0], early, *lines[1:]], code=1)
    assert found["accepted"] == len(lines)
    (refused,) = found["refused"]
    assert (refused["line"], refused["course"]) == (2, "A")
    assert refused["why"].startswith("begin_middle refused: state_allows: ")
    assert imported.states()["IMP-1"] == "completed"


def test_a_mended_file_imports_only_what_is_new(imported, lines):
    spoiled = [*lines]
    place = next(number for number, line in enumerate(lines) if line["trigger"] == "record_session")
    spoiled[place] = {**lines[place], "data": {"attendance": "often"}}
    first = imported(spoiled, code=1)
    assert place + 1 in {refusal["line"] for refusal in first["refused"]}
    second = imported(lines, code=1 if len(first["refused"]) > 1 else 0)
    assert second["known"] == first["accepted"]
    assert second["accepted"] + len(second["refused"]) == len(lines) - first["accepted"]
    assert imported.count("entry") == first["accepted"] + second["accepted"]
    assert service_walk.with_clinic(imported.settings, verification.verify).ok


def test_a_longer_file_imports_only_what_was_added(imported, lines):
    assert imported(lines[:9]) == report(9)
    assert imported(lines) == report(len(lines) - 9, known=9)


def test_the_same_line_twice_means_it_happened_twice(imported, lines):
    note = {"course": "A", "trigger": "note", "data": {"text": "She called."}}
    assert imported([*lines[:5], note, note]) == report(7)
    assert imported([*lines[:5], note, note]) == report(0, known=7)
    assert imported([*lines[:5], note, note, note]) == report(1, known=7)


def test_a_line_tells_several_triggers_as_one(imported, lines):
    told = lines[:5]
    happened = told[-1]["occurred_at"]
    held = {"trigger": "record_session", "data": {"attendance": "5"}, "occurred_at": happened}
    signed = {"trigger": "sign_session", "data": {"session": {"together": 0}}, "occurred_at": happened}
    opened = [line for line in told if line["trigger"] in {"refer", "record_consent", "start"}]
    evening = {"course": "A", "together": [held, signed]}
    assert imported([*opened, evening], "--dry-run") == report(len(opened) + 1)
    assert imported([*opened, evening]) == report(len(opened) + 1)
    (session,) = imported.course("IMP-1").sessions
    assert (session.signed, session.seq) == (True, len(opened) + 1)
    assert imported([*opened, evening]) == report(0, known=len(opened) + 1)


def test_a_line_of_several_triggers_is_imported_whole_or_not_at_all(imported, lines):
    note = {"trigger": "note", "data": {"text": "x"}}
    evening = {"course": "A", "together": [note, {"trigger": "begin_middle"}]}
    for options in (("--dry-run",), ()):
        found = imported([lines[0], evening], *options, code=1)
        assert (found["accepted"], found["refused"][0]["why"].partition(":")[0]) == (1, "together[1] begin_middle refused")
    assert imported.count("entry") == 1


@pytest.mark.parametrize(
    ("line", "why"),
    (
        ("{", "is not JSON"),
        ({"course": "A"}, "trigger: is required"),
        ({"course": "A", "trigger": "note", "together": [{"trigger": "note"}]}, "trigger: belongs to each command"),
        ({"course": "A", "together": [{"trigger": "note"}], "reason": "x"}, "reason: belongs to each command"),
        ("[1]", "must be a JSON object"),
        ("\x00", "is not JSON"),
        ('"text"', "must be a JSON object"),
        ("{}", "course"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "more": 1, "much": 2}, "much"),
        ({"course": "A", "trigger": 7}, "trigger"),
        ({"course": "A", "trigger": "note", "data": []}, "data"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "occurred_at": "yesterday"}, "occurred_at"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "occurred_at": "2026-01-05T09:00:00"}, "occurred_at"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "role": "boss"}, "role"),
        ({"course": "A", "trigger": "note", "data": {"words": "x"}}, "data.words"),
        ({"course": "A", "trigger": "no_trigger"}, "trigger: is not a trigger of ipt@2"),
        ({"course": "Z", "trigger": "note", "data": {"text": "x"}}, "'Z' is not opened by an earlier line"),
        ({"course": "C", "trigger": "refer", "data": SOURCE}, "client_ref"),
        ({"course": "C", "trigger": "refer", "data": SOURCE, "client_ref": "IMP-9", "protocol": "none"}, "ipt@2"),
        ({"course": "C", "trigger": "refer", "data": SOURCE, "client_ref": "IMP-1", "therapist": "t"}, "one_active_course"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "person": "x", "role": "auditor"}, "auditor"),
        ({"course": "A", "trigger": "acknowledge_deviation", "data": {"session": 4}, "reason": "x"}, "therapist"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "person": "therapist-9"}, "no such course"),
        ({"course": "A", "trigger": "note", "data": {"text": "x"}, "person": "admin-1", "role": "admin"}, "no such course|admin"),
    ),
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("options", ((), ("--dry-run",)), ids=("run", "dry run"))
def test_a_wrong_line_is_reported_and_the_next_is_taken(imported, lines, line, why, options):
    note = {"course": "A", "trigger": "note", "data": {"text": "She called."}}
    found = imported([*lines[:3], line, note], *options, code=1)
    assert found["accepted"] == 4, found
    (refused,) = found["refused"]
    assert refused["line"] == 4
    assert any(part in refused["why"] for part in why.split("|")), refused


def test_every_wrong_field_of_a_line_is_named_at_once(imported, lines):
    line = {"course": "A", "trigger": 7, "more": 1, "occurred_at": "yesterday"}
    (refused,) = imported([lines[0], line], code=1)["refused"]
    for field in ("trigger", "more", "occurred_at"):
        assert field in refused["why"]


def test_empty_lines_are_passed_over_and_counted(imported, lines):
    found = imported([lines[0], "", "  ", "{"], code=1)
    assert [refusal["line"] for refusal in found["refused"]] == [4]
    assert found["accepted"] == 1


def test_triggers_that_need_more_than_the_course_are_rehearsed_as_they_run(imported, lines):
    supervisor = {"person": "supervisor-1", "role": "supervisor"}
    more = [
        {
            "course": "B",
            "trigger": "relink_client",
            "data": {"kind": "wrong_client", "client_ref": "IMP-7"},
            "reason": "x",
            **supervisor,
        },
        {"course": "A", "trigger": "open_followup", "data": {"protocol": "ipt"}},
        {
            "course": "A",
            "trigger": "change_protocol",
            "data": {"protocol": "ipt", "protocol_version": 2},
            "reason": "x",
            **supervisor,
        },
        {"course": "B", "trigger": "reopen", "reason": "x", **supervisor},
        {"course": "B", "trigger": "amend", "data": {"supersedes": 2, "void": True}, "reason": "x"},
    ]
    rehearsed = imported([*lines, *more], "--dry-run", code=1)
    written = imported([*lines, *more], code=1)
    assert rehearsed == written


def test_a_client_whose_course_has_ended_in_the_file_may_be_referred_again(imported, lines):
    again = {"course": "C", "trigger": "refer", "data": SOURCE, "client_ref": "IMP-2", "therapist": "therapist-1"}
    imported(lines[:7])
    rest = [*lines, again]
    rehearsed = imported(rest, "--dry-run")
    assert imported(rest) == rehearsed
    assert rehearsed["refused"] == []


# Visits that are recorded already


def visit_of(lines) -> dict:
    return next(line for line in lines if line["trigger"] == "record_session")


def visit(lines, minutes: int, **data) -> dict:
    """A line about the first session of course A, told `minutes` off its time."""
    session = visit_of(lines)
    at = dt.datetime.fromisoformat(session["occurred_at"]) + dt.timedelta(minutes=minutes)
    return {**session, "occurred_at": at.isoformat(), "data": {"attendance": "5", **data}}


@pytest.mark.parametrize("minutes", (-49, 0, 1, 49))
def test_a_visit_that_is_recorded_already_gets_the_lines_reference_and_stays_one_session(imported, lines, minutes):
    begun = lines[: lines.index(visit_of(lines)) + 1]
    imported(begun)
    more = [*begun, visit(lines, minutes, ref="Encounter/1"), visit(lines, minutes)]
    rehearsed = imported(more, "--dry-run")
    assert imported(more) == rehearsed == report(0, known=len(begun), linked=2)
    assert imported(more) == report(0, known=len(begun) + 1, linked=1)
    (session,) = imported.course("IMP-1").sessions
    assert (session.refs, session.counts) == (("Encounter/1",), True)


def test_a_visit_recorded_otherwise_with_another_attendance_is_refused_until_one_is_right(imported, lines):
    begun = lines[: lines.index(visit_of(lines)) + 1]
    (refused,) = imported([*begun, visit(lines, 5, attendance="3")], code=1)["refused"]
    assert refused["why"].startswith("record_session refused: overlaps_session: ")
    assert len(imported.course("IMP-1").sessions) == 1


def test_a_line_that_overrides_the_overlap_is_another_visit(imported, lines):
    begun = lines[: lines.index(visit_of(lines)) + 1]
    other = {**visit(lines, 5, ref="Encounter/1"), "override": {"rules": ["overlaps_session"], "reason": "Two visits."}}
    assert imported([*begun, other]) == report(len(begun) + 1)
    assert len(imported.course("IMP-1").sessions) == 2


def test_the_report_for_people_names_line_and_reason(imported, lines):
    imported.file.write_text(json.dumps(lines[0]) + "\n{\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["import", str(imported.file)])
    assert result.exit_code == 1
    assert result.stdout == "1 lines were imported, 0 were there already, 0 were linked to a recorded session, 1 refused.\n"
    assert result.stderr.startswith("line 2: is not JSON")
    assert "would be" in CliRunner().invoke(app, ["import", str(imported.file), "--dry-run"]).stdout


def test_a_file_that_is_not_there_is_a_matter_of_usage(imported, tmp_path):
    assert CliRunner().invoke(app, ["import", str(tmp_path / "none.ndjson")]).exit_code == 2
    assert CliRunner().invoke(app, ["import", str(tmp_path)]).exit_code == 2


def test_progress_is_told_for_every_line(imported, lines):
    advanced = []
    raw = [json.dumps(line).encode() for line in lines[:4]]
    service_walk.with_clinic(
        imported.settings, lambda clinic: imports.run(clinic, raw, dry_run=True, progress=lambda: advanced.append(1))
    )
    assert len(advanced) == 4

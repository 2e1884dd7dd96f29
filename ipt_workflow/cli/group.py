"""`group`: work on groups without a server. The verbs are those of `/v1/groups`."""

from typing import Annotated, Any, TypeVar

import msgspec
import typer

from ipt_workflow.cli.course import As, AsJson, ForRole, caller, json_of, operator_as_auditor, run_as
from ipt_workflow.cli.output import err, out, print_json, print_refusals, print_table, run, usage
from ipt_workflow.groups.bodies import Facilitating, Joining, Leaving, NewGroup, NewSession, SigningSeveral
from ipt_workflow.groups.views import GroupCommitted, GroupSummary, GroupView, SessionCommitted, SignedSessions
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.writes import GroupWrite
from ipt_workflow.values.faults import shaped

Shape = TypeVar("Shape", bound=msgspec.Struct)
app = typer.Typer(help="Groups of courses.", no_args_is_help=True)
GroupId = Annotated[str, typer.Argument(help="The group's id.")]
Course = Annotated[str, typer.Argument(help="The course's id.")]
Version = Annotated[int | None, typer.Option(help="The group's version that you saw; default: the present one.")]
LIMIT_MAX = 1000


@app.command()
def create(
    label: Annotated[str, typer.Argument(help="An opaque label of letters, digits and _.:@- that identifies no person.")],
    protocol: Annotated[str, typer.Option(help="A group protocol.")],
    person: As,
    role: ForRole = "therapist",
    protocol_version: Annotated[int | None, typer.Option(help="The protocol's version; default: the latest.")] = None,
    facilitator: Annotated[
        list[str] | None, typer.Option(help="A therapist who facilitates the group; may be repeated. Default: the person in --as.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a group."""
    body = _given(protocol=protocol, protocol_version=protocol_version, label=label, facilitators=facilitator)
    principal = caller(person, role)
    _print_group(run_as(principal, lambda clinic: Groups(clinic).create(principal, lambda: shaped(NewGroup, body))), as_json)


@app.command("list")
def list_groups(
    protocol: Annotated[str | None, typer.Option(help="Only groups under this protocol.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The most groups to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List groups, oldest first."""
    found: list[GroupSummary] = run(lambda clinic: Groups(clinic).page(operator_as_auditor(), protocol, "", limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.id, each.label, f"{each.protocol}@{each.protocol_version}", each.members, each.sessions, " ".join(each.facilitators))
        for each in found
    ]
    print_table(("group", "label", "protocol", "members", "sessions", "facilitators"), rows)


@app.command()
def show(group: GroupId, as_json: AsJson = False) -> None:
    """Show one group: members, sessions, attendance."""
    found: GroupView = run(lambda clinic: Groups(clinic).one(operator_as_auditor(), group))
    if as_json:
        print_json(found)
        return
    size = found.size
    out.print(f"{found.id}  {found.label}, version {found.version}, {size.now} members of {size.min} to {size.max}", markup=False)
    members = [(m.course, m.state, m.joined_at.date(), m.left_at and m.left_at.date(), m.reason) for m in found.members]
    print_table(("course", "state", "joined", "left", "reason"), members)
    if found.sessions:
        attended = [
            (each.id, each.occurred_at.isoformat(), course, member.told, member.became, member.seq)
            for each in found.sessions
            for course, member in each.attendance.items()
        ]
        print_table(("session", "when", "course", "code", "became", "entry"), attended)


@app.command()
def join(
    group: GroupId,
    course: Course,
    person: As,
    role: ForRole = "therapist",
    joined_at: Annotated[str | None, typer.Option(help="The time, RFC 3339; default: now.")] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Put a course into a group."""
    body = _given(course=course, joined_at=joined_at)
    principal = caller(person, role)
    _print_group(run_as(principal, lambda clinic: Groups(clinic).join(principal, group, _write(Joining, body, version))), as_json)


@app.command()
def leave(
    group: GroupId,
    course: Course,
    reason: Annotated[str, typer.Option(help="completed, own_wish, not_reached, moved, referred_on, not_suitable or other.")],
    person: As,
    role: ForRole = "therapist",
    left_at: Annotated[str | None, typer.Option(help="The time, RFC 3339; default: now.")] = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Take a course out of a group."""
    body = _given(reason=reason, left_at=left_at)
    principal = caller(person, role)
    _print_group(
        run_as(principal, lambda clinic: Groups(clinic).leave(principal, group, course, _write(Leaving, body, version))), as_json
    )


@app.command()
def facilitators(
    group: GroupId,
    facilitator: Annotated[list[str], typer.Argument(help="The therapists who facilitate the group from now on.")],
    person: As,
    role: ForRole = "therapist",
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Set a group's facilitators."""
    body = _given(facilitators=facilitator)
    principal = caller(person, role)
    _print_group(
        run_as(principal, lambda clinic: Groups(clinic).facilitate(principal, group, _write(Facilitating, body, version))), as_json
    )


@app.command()
def record(
    group: GroupId,
    attendance: Annotated[list[str], typer.Argument(help="COURSE=CODE for every member, such as 0197c8f2-…=5.")],
    person: As,
    role: ForRole = "therapist",
    occurred_at: Annotated[str | None, typer.Option(help="When the session took place, RFC 3339; default: now.")] = None,
    scheduled_for: Annotated[str | None, typer.Option(help="When the session was planned, RFC 3339.")] = None,
    minutes: Annotated[int | None, typer.Option(help="The length of the session in minutes.")] = None,
    medium: Annotated[str | None, typer.Option(help="face_to_face (default), video, telephone, email or text.")] = None,
    kind: Annotated[str | None, typer.Option(help="session (default), or additional with a reason.")] = None,
    reason: Annotated[str | None, typer.Option(help="The reason for an additional session.")] = None,
    details: Annotated[str, typer.Option(help="Details by course as JSON, or - to read them from standard input.")] = "{}",
    everyone: Annotated[
        bool, typer.Option("--all", help="Record it for every member; if one course refuses, record nothing.")
    ] = False,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Record a group's session on every member's course. If a course refuses its record, the record waits in the inbox."""
    body = _given(
        attendance=_attendance(attendance),
        details=json_of(details, "--details"),
        occurred_at=occurred_at,
        scheduled_for=scheduled_for,
        minutes=minutes,
        medium=medium,
        kind=kind,
        reason=reason,
        all=everyone,
    )
    principal = caller(person, role)
    done: SessionCommitted = run_as(
        principal, lambda clinic: GroupSessions(clinic).record(principal, group, _write(NewSession, body, version))
    )
    recorded = done.recorded
    if as_json:
        print_json(recorded)
        return
    out.print(f"{recorded.session.id}: recorded on {len(recorded.accepted)} courses, {len(recorded.refused)} wait.", markup=False)
    for warning in recorded.warnings:
        err.print(warning, markup=False)
    for each in recorded.refused:
        err.print(f"{each.course} ({each.state}) waits as notice {each.notice}:", markup=False)
        print_refusals(each.refusals)


@app.command()
def sign(
    group: GroupId,
    sessions: Annotated[list[str], typer.Argument(help="The ids of the sessions.")],
    person: As,
    role: ForRole = "therapist",
    data: Annotated[
        str,
        typer.Option(
            help="`techniques`, `summary` and `focus` by course as JSON, the same for every session; or - to read them from standard input."
        ),
    ] = "{}",
    as_json: AsJson = False,
) -> None:
    """Sign a group's sessions on every member's course whose session the caller gave."""
    given, principal = json_of(data, "--data"), caller(person, role)
    body = {"sessions": dict.fromkeys(sessions, given)}
    done: SignedSessions = run_as(
        principal, lambda clinic: GroupSignatures(clinic).sign_several(principal, group, lambda: shaped(SigningSeveral, body))
    )
    if as_json:
        print_json(done)
        return
    for session, signed in done.sessions.items():
        out.print(f"{session}: signed on {len(signed.signed)} courses.", markup=False)
        for each in signed.refused:
            err.print(f"{each.course} ({each.state}):", markup=False)
            print_refusals(each.refusals)


def _write(shape: type[Shape], body: dict[str, Any], version: int | None) -> GroupWrite:
    return GroupWrite(decode=lambda: shaped(shape, body), version=version, version_required=False)


def _given(**options: Any) -> dict[str, Any]:
    """The options that the caller gave."""
    return {name: value for name, value in options.items() if value is not None}


def _attendance(arguments: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in arguments]
    if not all(mark for _, mark, _ in pairs):
        usage("Write attendance as COURSE=CODE, such as 0197c8f2-…=5.")
    return {course: code for course, _, code in pairs}


def _print_group(committed: GroupCommitted, as_json: bool) -> None:
    group = committed.group
    if as_json:
        print_json(group)
        return
    out.print(f"{group.id}  {group.label}, version {group.version}, {group.size.now} members", markup=False)

"""Groups and their logs. Plain statements; they judge nothing.

A line of a log is written together with a compare-and-swap of the group's version, as an entry is with its course's. A line that was
decided on an older version is not written.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.errors import GroupStale
from ipt_workflow.groups import Group, GroupSession, MemberAttendance, MemberEvent, members
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import CourseGrouped, GroupLine, MemberMove, NamedFacilitators

group, facilitator, member, session = tables.therapy_group, tables.group_facilitator, tables.group_member, tables.group_session
_attendance = msgspec.json.Decoder(dict[str, MemberAttendance])


def append(connection: sa.Connection, organisation: str, line: GroupLine) -> None:
    """Writes a line of a group's log. Raises GroupStale if the group has moved on, CourseGrouped if the course has."""
    where = (group.c.organisation == organisation, group.c.id == line.group, group.c.version == line.expected)
    if line.new:
        new = {"organisation": organisation, "id": line.group, "version": 1, **msgspec.structs.asdict(line.new)}
        connection.execute(sa.insert(group), new)
    elif connection.execute(sa.update(group).where(*where).values(version=line.expected + 1)).rowcount != 1:
        raise GroupStale(_version(connection, organisation, line.group))
    table, rows = _lines(organisation, line)
    try:
        connection.execute(sa.insert(table), rows)
    except sa.exc.IntegrityError as error:
        raise CourseGrouped("The course has joined or left a group meanwhile.") from error


def is_written(connection: sa.Connection, organisation: str, line: GroupLine) -> bool:
    """Whether exactly this line is in the log."""
    table, rows = _lines(organisation, line)
    same = [table.c[name] == value for name, value in rows[0].items() if not isinstance(value, bytes)]
    return connection.execute(sa.select(table.c.organisation).where(*same)).first() is not None


def _lines(organisation: str, line: GroupLine) -> tuple[sa.Table, list[dict[str, Any]]]:
    """The rows of a line, and their table."""
    where = {"organisation": organisation, "group_id": line.group, "seq": line.expected + 1}
    content = line.content
    if isinstance(content, NamedFacilitators):
        recorded = {"told_by": content.recorded_by, "told_at": content.recorded_at}
        return facilitator, [{**where, "person": person, **recorded} for person in content.people]
    if isinstance(content, MemberMove):
        move = {
            "course_id": content.course,
            "nth": content.nth,
            "joined": content.joined,
            "at": content.at,
            "reason": content.reason,
            "told_by": content.recorded_by,
            "told_at": content.recorded_at,
        }
        return member, [{**where, **move}]
    columns = {name: getattr(content, name) for name in content.__struct_fields__}
    return session, [{**where, **columns, "told": msgspec.json.encode(content.told)}]


def _version(connection: sa.Connection, organisation: str, group_id: str) -> int:
    return (
        connection.execute(sa.select(group.c.version).where(group.c.organisation == organisation, group.c.id == group_id)).scalar()
        or 0
    )


def find(connection: sa.Connection, organisation: str, group_id: str, version: int | None = None) -> Group | None:
    """A group; or as it was at a version."""
    found = _folded(
        connection, organisation, sa.select(group).where(group.c.organisation == organisation, group.c.id == group_id), version
    )
    return found[0] if found else None


def page(
    connection: sa.Connection, organisation: str, *, person: str | None, protocol: str | None, after: str, limit: int
) -> list[Group]:
    """Groups in the order they were made; of a person those that they facilitate now."""
    statement = sa.select(group).where(group.c.organisation == organisation, group.c.id > after)
    if protocol is not None:
        statement = statement.where(group.c.protocol == protocol)
    if person is not None:
        statement = statement.where(group.c.id.in_(_facilitated(organisation, person)))
    return _folded(connection, organisation, statement.order_by(group.c.id).limit(limit))


def _facilitated(organisation: str, person: str) -> sa.Select[Any]:
    """The groups that a person facilitates: named in the latest of the lines that name facilitators."""
    later = facilitator.alias()
    renamed = sa.exists().where(
        later.c.organisation == facilitator.c.organisation,
        later.c.group_id == facilitator.c.group_id,
        later.c.seq > facilitator.c.seq,
    )
    return sa.select(facilitator.c.group_id).where(
        facilitator.c.organisation == organisation, facilitator.c.person == person, ~renamed
    )


def _folded(connection: sa.Connection, organisation: str, statement: sa.Select[Any], version: int | None = None) -> list[Group]:
    rows = list(connection.execute(statement))
    ids = [row.id for row in rows]
    named, lines, held = (_of(connection, table, organisation, ids, version) for table in (facilitator, member, session))
    return [
        Group(
            id=row.id,
            label=row.label,
            protocol=row.protocol,
            protocol_version=row.protocol_version,
            created_at=row.created_at,
            created_by=row.created_by,
            version=row.version if version is None else min(version, row.version),
            facilitators=_latest(named[row.id]),
            members=members(_event(line) for line in lines[row.id]),
            sessions=tuple(_session(line) for line in held[row.id]),
        )
        for row in rows
    ]


def _of(
    connection: sa.Connection, table: sa.Table, organisation: str, ids: Sequence[str], version: int | None
) -> dict[str, list[Any]]:
    """The lines of several groups in one of the tables, each in their order."""
    found: dict[str, list[Any]] = defaultdict(list)
    if not ids:
        return found
    statement = sa.select(table).where(table.c.organisation == organisation, table.c.group_id.in_(ids))
    if version is not None:
        statement = statement.where(table.c.seq <= version)
    for row in connection.execute(statement.order_by(table.c.group_id, table.c.seq)):
        found[row.group_id].append(row)
    return found


def _latest(named: Iterable[Any]) -> tuple[str, ...]:
    by_seq: dict[int, list[str]] = defaultdict(list)
    for row in named:
        by_seq[row.seq].append(row.person)
    return tuple(sorted(by_seq[max(by_seq)]))


def _event(row: Any) -> MemberEvent:
    return MemberEvent(
        course=row.course_id, group=row.group_id, nth=row.nth, seq=row.seq, joined=row.joined, at=row.at, reason=row.reason
    )


def _session(row: Any) -> GroupSession:
    return GroupSession(
        id=row.id,
        seq=row.seq,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
        kind=row.kind,
        medium=row.medium,
        minutes=row.minutes,
        scheduled_for=row.scheduled_for,
        held=row.held,
        told=_attendance.decode(row.told),
    )


def last_of(connection: sa.Connection, organisation: str, course_id: str) -> MemberEvent | None:
    """The course's last joining or leaving, of whichever group."""
    where = (member.c.organisation == organisation, member.c.course_id == course_id)
    row = connection.execute(sa.select(member).where(*where).order_by(member.c.nth.desc()).limit(1)).first()
    return _event(row) if row else None


def notices(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, tuple[str, bytes | None]]:
    """The status of each notice, and why it waits."""
    notice = tables.notice
    statement = sa.select(notice.c.id, notice.c.status, notice.c.detail)
    rows = connection.execute(statement.where(notice.c.organisation == organisation, notice.c.id.in_(ids))) if ids else ()
    return {row.id: (row.status, row.detail) for row in rows}

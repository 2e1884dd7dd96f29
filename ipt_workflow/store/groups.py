"""Groups and their logs. Plain statements: they decide nothing.

A line of a log is written with a compare-and-swap of the group's version, as an entry is with its course's version. A line that was
decided on an older version is not written.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.errors import GroupStale
from ipt_workflow.groups import Group, GroupSession, MemberAttendance, MemberEvent, members
from ipt_workflow.store.notices import NoticeDetail, decode_detail
from ipt_workflow.store.relations import facilitated
from ipt_workflow.store.schema.tables import group_facilitator as facilitator
from ipt_workflow.store.schema.tables import group_member as member
from ipt_workflow.store.schema.tables import group_session as session
from ipt_workflow.store.schema.tables import notice
from ipt_workflow.store.schema.tables import therapy_group as group
from ipt_workflow.store.units import CourseGrouped, GroupLine, MemberMove, NamedFacilitators

_attendance = msgspec.json.Decoder(dict[str, MemberAttendance])


def append(connection: sa.Connection, organisation: str, line: GroupLine) -> None:
    """Writes a line of a group's log.

    Raises GroupStale if the group is no longer at the expected version, CourseGrouped if the course's group has changed.
    """
    where = (group.c.organisation == organisation, group.c.id == line.group, group.c.version == line.expected)
    if line.new:
        new = {"organisation": organisation, "id": line.group, "version": 1, **msgspec.structs.asdict(line.new)}
        connection.execute(sa.insert(group), new)
    elif connection.execute(sa.update(group).where(*where).values(version=line.expected + 1)).rowcount != 1:
        raise GroupStale(_version(connection, organisation, line.group))
    table, rows = _rows(organisation, line)
    try:
        connection.execute(sa.insert(table), rows)
    except sa.exc.IntegrityError as error:
        raise CourseGrouped("Another request changed the course's group first.") from error


def is_written(connection: sa.Connection, organisation: str, line: GroupLine) -> bool:
    """Whether the log holds exactly this line."""
    table, rows = _rows(organisation, line)
    same = [table.c[name] == value for name, value in rows[0].items() if not isinstance(value, bytes)]
    return connection.execute(sa.select(table.c.organisation).where(*same)).first() is not None


def _rows(organisation: str, line: GroupLine) -> tuple[sa.Table, list[dict[str, Any]]]:
    """The table of a line and its rows there."""
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
    """A group as it is, or as it was at a version; None if there is none."""
    statement = sa.select(group).where(group.c.organisation == organisation, group.c.id == group_id)
    found = _folded(connection, organisation, statement, version)
    return found[0] if found else None


def labelled(connection: sa.Connection, organisation: str, label: str) -> list[Group]:
    """The groups with a label; several may have the same."""
    statement = sa.select(group).where(group.c.organisation == organisation, group.c.label == label).order_by(group.c.id)
    return _folded(connection, organisation, statement)


def page(
    connection: sa.Connection, organisation: str, *, people: Iterable[str] | None, protocol: str | None, after: str, limit: int
) -> list[Group]:
    """A page of groups after an id, in the order they were made. With `people`: those that any of them facilitates now."""
    statement = sa.select(group).where(group.c.organisation == organisation, group.c.id > after)
    if protocol is not None:
        statement = statement.where(group.c.protocol == protocol)
    if people is not None:
        statement = statement.where(group.c.id.in_(facilitated(organisation, *people)))
    return _folded(connection, organisation, statement.order_by(group.c.id).limit(limit))


def _folded(connection: sa.Connection, organisation: str, statement: sa.Select[Any], version: int | None = None) -> list[Group]:
    """The groups that a statement selects, each the fold of its log up to a version."""
    rows = list(connection.execute(statement))
    ids = [row.id for row in rows]
    named, moves, held = (_lines(connection, table, organisation, ids, version) for table in (facilitator, member, session))
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
            members=members(_event(line) for line in moves[row.id]),
            sessions=tuple(_session(line) for line in held[row.id]),
        )
        for row in rows
    ]


def _lines(
    connection: sa.Connection, table: sa.Table, organisation: str, ids: Sequence[str], version: int | None
) -> dict[str, list[sa.Row[Any]]]:
    """The lines of several groups in one of the tables, by group, in their order."""
    by_group: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    if not ids:
        return by_group
    statement = sa.select(table).where(table.c.organisation == organisation, table.c.group_id.in_(ids))
    if version is not None:
        statement = statement.where(table.c.seq <= version)
    for row in connection.execute(statement.order_by(table.c.group_id, table.c.seq)):
        by_group[row.group_id].append(row)
    return by_group


def _latest(named: Iterable[sa.Row[Any]]) -> tuple[str, ...]:
    """The people whom the latest line names."""
    by_seq: dict[int, list[str]] = defaultdict(list)
    for row in named:
        by_seq[row.seq].append(row.person)
    return tuple(sorted(by_seq[max(by_seq)]))


def _event(row: sa.Row[Any]) -> MemberEvent:
    return MemberEvent(
        course=row.course_id, group=row.group_id, nth=row.nth, seq=row.seq, joined=row.joined, at=row.at, reason=row.reason
    )


def _session(row: sa.Row[Any]) -> GroupSession:
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
    """The course's last joining or leaving, in any group."""
    where = (member.c.organisation == organisation, member.c.course_id == course_id)
    row = connection.execute(sa.select(member).where(*where).order_by(member.c.nth.desc()).limit(1)).first()
    return _event(row) if row else None


class HeldRecordStatus(msgspec.Struct, frozen=True):
    """The status of a record that a member's course refused. `detail` says why it waits; None once it no longer waits."""

    status: str
    detail: NoticeDetail | None


def held_records(connection: sa.Connection, organisation: str, notice_ids: Sequence[str]) -> dict[str, HeldRecordStatus]:
    """The status of records in the inbox, by notice."""
    if not notice_ids:
        return {}
    statement = sa.select(notice.c.id, notice.c.status, notice.c.detail)
    rows = connection.execute(statement.where(notice.c.organisation == organisation, notice.c.id.in_(notice_ids)))
    return {row.id: HeldRecordStatus(row.status, decode_detail(row.detail)) for row in rows}

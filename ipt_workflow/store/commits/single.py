"""Writes one unit in the caller's transaction: entries, snapshots, outbox and idempotency rows."""

import datetime as dt

import sqlalchemy as sa

from ipt_workflow.errors import IptError, StaleVersion
from ipt_workflow.store import client_keys, groups, moved_entries, notices, proposals, restrictions
from ipt_workflow.store.commits import rows
from ipt_workflow.store.proposals import StoredProposal
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import (
    ActiveCourseExists,
    ClientTaken,
    CourseChange,
    DecidedProposal,
    KeptAnswer,
    KeyTaken,
    LoggedEvent,
    OtherCourseStale,
    Unit,
)


def commit(connection: sa.Connection, unit: Unit) -> None:
    """Writes a unit. Raises StaleVersion, GroupStale, ActiveCourseExists, KeyTaken, ClientTaken, CourseGrouped or NoticeTaken.

    The caller rolls the transaction back if it raises.
    """
    try:
        if unit.answer:
            _keep_answer(connection, unit.organisation, unit.answer, unit.recorded_at)
        if unit.client:
            connection.execute(_insert_client, rows.client(unit))
        if unit.line:
            groups.append(connection, unit.organisation, unit.line)
        for change in sorted(unit.changes, key=lambda each: each.course.id):  # in one order, or two processes could deadlock
            _write_course(connection, unit.organisation, change, named=change is unit.changes[0])
        for table, new in _inserts(unit).items():
            if new:
                connection.execute(sa.insert(table), new)
        _change_others(connection, unit)
        _decide_proposals(connection, unit)
    except sa.exc.IntegrityError as error:
        raise _conflict(str(error.orig), unit) from error


def _change_others(connection: sa.Connection, unit: Unit) -> None:
    """Changes rows that other units have written: texts that a move empties, and notices."""
    if unit.moved:
        moved_entries.move(connection, unit.organisation, unit.moved)
    for settled in unit.settled:
        notices.settle(connection, unit.organisation, settled)


def _inserts(unit: Unit) -> dict[sa.Table, list[rows.Row]]:
    """The rows of a unit that are only ever inserted, by table."""
    entries = [entry for change in unit.changes for entry in change.entries]
    of_events = rows.of_events(unit.events)
    of_events[tables.outbox] = [*(rows.outbox(entry) for entry in entries), *of_events[tables.outbox]]
    return {
        tables.entry: [row for change in unit.changes for row in rows.entries(unit, change)],
        tables.entry_data: [rows.entry_data(entry, change.key) for change in unit.changes for entry in change.entries],
        tables.notice: [notices.row(unit.organisation, each) for each in unit.notices],
        **of_events,
    }


def _conflict(message: str, unit: Unit) -> IptError:
    """The error for a violated unique index. The driver's message names the index on PostgreSQL, and the columns on SQLite."""
    if "uq_course_one_active" in message or "course.organisation, course.client_id" in message:
        return ActiveCourseExists("The client has another open acute course.")
    if "idempotency" in message:
        return KeyTaken("Another request used the key first.")
    if "uq_notice" in message or "notice.organisation" in message:
        return notices.NoticeTaken("Another request stored the notice first.")
    if "client" in message:
        return ClientTaken("Another request created the client's record first.")
    return StaleVersion(unit.changes[0].expected + 1 if unit.changes else 0)


def _keep_answer(connection: sa.Connection, organisation: str, answer: KeptAnswer, now: dt.datetime) -> None:
    """Keeps the answer under its key, and removes an expired answer under the same key."""
    table = tables.idempotency
    connection.execute(
        sa.delete(table).where(table.c.organisation == organisation, table.c.scope == answer.scope, table.c.expires_at <= now)
    )
    connection.execute(sa.insert(table), rows.kept_answer(organisation, answer))


def forget_answers(connection: sa.Connection, organisation: str, now: dt.datetime) -> int:
    """Removes the answers of expired keys. Returns how many."""
    table = tables.idempotency
    return connection.execute(sa.delete(table).where(table.c.organisation == organisation, table.c.expires_at <= now)).rowcount


def _write_course(connection: sa.Connection, organisation: str, change: CourseChange, *, named: bool) -> None:
    """`named`: it is the course that the caller wrote to, of those in the unit."""
    values = rows.course_columns(organisation, change)
    if change.expected == 0:
        connection.execute(_insert_course, values)
        if change.key and change.key.wrapped:
            client_keys.add(connection, organisation, change.course.id, change.key, change.course.last_recorded_at)
        if change.restricted_as:
            restrictions.copy(connection, organisation, change.restricted_as, change.course.id)
        return
    table = tables.course
    changed = connection.execute(
        sa.update(table)
        .where(table.c.organisation == organisation, table.c.id == change.course.id, table.c.version == change.expected)
        .values(values)
    )
    if changed.rowcount != 1:
        lost = StaleVersion if named else OtherCourseStale
        raise lost(current_version(connection, organisation, change.course.id))


def current_version(connection: sa.Connection, organisation: str, course_id: str) -> int:
    table = tables.course
    found = connection.execute(
        sa.select(table.c.version).where(table.c.organisation == organisation, table.c.id == course_id)
    ).scalar()
    return int(found or 0)


def is_written(connection: sa.Connection, work: Unit | LoggedEvent) -> bool:
    """Whether a unit or an event has been committed: its first row is there, under its own id."""
    if isinstance(work, LoggedEvent):
        table, organisation, row_id = tables.audit_event, work.organisation, work.id
    elif work.line:
        return groups.is_written(connection, work.organisation, work.line)
    elif work.changes:
        table, organisation, row_id = tables.entry, work.organisation, work.changes[0].entries[0].written.id
    elif work.notices:
        table, organisation, row_id = tables.notice, work.organisation, work.notices[0].id
    else:
        table, organisation, row_id = tables.audit_event, work.organisation, work.events[0].id
    where = (table.c.organisation == organisation, table.c.id == row_id)
    return connection.execute(sa.select(table.c.id).where(*where)).first() is not None


def _decide_proposals(connection: sa.Connection, unit: Unit) -> None:
    """Raises StaleVersion if the proposal that is cosigned was decided already. One that lapses may have been."""
    if unit.proposal and not decide_proposal(connection, unit.organisation, unit.proposal):
        raise StaleVersion(unit.changes[0].expected)
    for lapsed in unit.lapsed:
        decide_proposal(connection, unit.organisation, lapsed)


def propose(connection: sa.Connection, organisation: str, proposal: StoredProposal, answer: KeptAnswer | None) -> None:
    """Keeps a proposal, and the answer of the key under which it was made."""
    if answer:
        _keep_answer(connection, organisation, answer, proposal.proposed_at)
    proposals.insert(connection, organisation, proposal)


def decide_proposal(connection: sa.Connection, organisation: str, decided: DecidedProposal) -> bool:
    """Decides a proposal and empties its body, unless it is returned. Returns False if it was decided already.

    One that was returned can still lapse. Who returned it stays known.
    """
    table, undecided = tables.proposal, ("waiting", "returned") if decided.status == "lapsed" else ("waiting",)
    statement = sa.update(table).where(
        table.c.organisation == organisation, table.c.id == decided.id, table.c.status.in_(undecided)
    )
    values = {"status": decided.status, "decided_at": decided.at, "entry_seq": decided.entry_seq, "reason": decided.reason}
    values |= {"comment": decided.comment} if decided.status == "returned" else {"body": None}
    values |= {"decided_by": decided.by} if decided.by else {}
    return bool(connection.execute(statement.values(values)).rowcount == 1)


_insert_client = sa.insert(tables.client)
_insert_course = sa.insert(tables.course)

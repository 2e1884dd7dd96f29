"""Proposals: commands that wait for a supervisor's co-signature."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.store import relations, structs
from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.relations import ORGANISATION, Sight
from ipt_workflow.store.schema.tables import course, entry
from ipt_workflow.store.schema.tables import proposal as table

LapseReason = Literal["course_ended", "moved_on", "proposer", "revised"]


class StoredProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `body` is the command as JSON, None once the proposal is decided or has lapsed. `reason` says why it lapsed.

    One that was returned keeps its body until its proposer proposes the revised command. `comment` says what to revise.
    `therapist` was the course's when it was made. Proposals from before cover have none: their proposers were the therapists.
    """

    id: str
    course_id: str
    version: int
    trigger: str
    body: bytes | None
    proposed_by: str
    proposed_role: str
    proposed_at: dt.datetime
    status: str
    therapist: str | None = None
    decided_by: str | None = None
    decided_at: dt.datetime | None = None
    entry_seq: int | None = None
    reason: LapseReason | None = None
    comment: bytes | None = None


class EntrySince(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that was recorded on a course after a proposal was made: what happened, when, and who recorded it."""

    course_id: str
    seq: int
    trigger: str
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    person: str
    role: str


_select = sa.select(*structs.columns(table, StoredProposal))
_LIMIT = sa.bindparam("limit", type_=sa.Integer)
_mine = _select.where(table.c.organisation == ORGANISATION, table.c.proposed_by == sa.bindparam("person"))
_of_proposer = _mine.order_by(table.c.id.desc()).limit(_LIMIT)


def insert(connection: sa.Connection, organisation: str, new: StoredProposal) -> None:
    """Keeps a proposal. It takes the place of those that were returned to the same person, for the same trigger of the course."""
    revised = sa.update(table).where(
        table.c.organisation == organisation,
        table.c.course_id == new.course_id,
        table.c.trigger == new.trigger,
        table.c.proposed_by == new.proposed_by,
        table.c.status == "returned",
    )
    connection.execute(revised.values(status="lapsed", reason="revised", body=None))
    connection.execute(sa.insert(table), structs.row_of(organisation, new))


def page(
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, *, status: str | None, after: str, limit: int
) -> list[StoredProposal]:
    """A page of proposals after an id, in the order they were made: those on courses that the viewer may see at this moment."""
    statement = _page(relations.sight(connection, organisation, who, now), of_status=bool(status))
    values = {**relations.values(organisation, who, now), "status": status, "after": after, "limit": limit}
    return structs.read_all(connection, statement, StoredProposal, values)


@cache
def _page(sight: Sight, *, of_status: bool) -> sa.Select[Any]:
    statement = _select.where(table.c.organisation == ORGANISATION, table.c.id > sa.bindparam("after"))
    if of_status:
        statement = statement.where(table.c.status == sa.bindparam("status"))
    if sight.condition is not None:  # course by course: else a database would first list all that can be seen
        of_course = sa.and_(course.c.organisation == table.c.organisation, course.c.id == table.c.course_id)
        statement = statement.select_from(table.join(course, of_course)).where(sight.condition)
    return statement.order_by(table.c.id).limit(_LIMIT)


def find(connection: sa.Connection, organisation: str, proposal_id: str) -> StoredProposal | None:
    statement = _select.where(table.c.organisation == organisation, table.c.id == proposal_id)
    return structs.read_first(connection, statement, StoredProposal)


_undecided = _select.where(table.c.body.is_not(None)).order_by(table.c.id)
_undecided_on = by_ids(_undecided, table.c.organisation, table.c.course_id)


def undecided_on(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> list[StoredProposal]:
    """The proposals on these courses that wait for a supervisor, or to be revised."""
    found = execute_by_ids(connection, _undecided_on, organisation, course_ids)
    return [StoredProposal(**row) for row in found.mappings()]


def of_proposer(connection: sa.Connection, organisation: str, person: str, limit: int) -> list[StoredProposal]:
    """What a person proposed last, the newest first."""
    return structs.read_all(
        connection, _of_proposer, StoredProposal, {"organisation": organisation, "person": person, "limit": limit}
    )


def entries_since(connection: sa.Connection, organisation: str, versions: Mapping[str, int]) -> list[EntrySince]:
    """What was recorded on courses after these versions of them, in the order of each course."""
    if not versions:
        return []
    later = sa.or_(*(sa.and_(entry.c.course_id == course_id, entry.c.seq > version) for course_id, version in versions.items()))
    statement = sa.select(*structs.columns(entry, EntrySince)).where(entry.c.organisation == organisation, later)
    return structs.read_all(connection, statement.order_by(entry.c.course_id, entry.c.seq), EntrySince)

"""Rounds of the verifier in the background: how far each is, and the first fault that it found."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import courses, log, structs
from ipt_workflow.store.schema import tables

kept = tables.verification_round


class StoredRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round. It has `ended_at` once it has read everything that there was when it began."""

    nth: int
    started_at: dt.datetime
    seen_at: dt.datetime
    size: int
    leaves: int = 0
    total: int
    courses: int = 0
    course_after: str = ""
    bad_position: int | None = None
    bad_course: str | None = None
    bad_seq: int | None = None
    fault: str | None = None
    ended_at: dt.datetime | None = None

    @property
    def share(self) -> float:
        """How much of the round is done, from 0 to 1."""
        whole = self.size + self.total
        return 1.0 if self.ended_at or not whole else min(1.0, (self.leaves + self.courses) / whole)


class RoundView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the verifier is. `share` of the round that began at `started_at` is read. `read_since` is when the last whole round began.

    `fault` says what this round, or the one before, found first.
    """

    share: float
    started_at: dt.datetime
    read_since: dt.datetime | None
    fault: str | None
    position: int | None
    course: str | None
    seq: int | None

    def age(self, now: dt.datetime) -> float:
        """For how many seconds something may have been read for the last time."""
        return max(0.0, (now - (self.read_since or self.started_at)).total_seconds())


def newest(connection: sa.Connection, organisation: str, limit: int = 1) -> list[StoredRound]:
    """The rounds that began last, the newest first."""
    return structs.read_all(connection, _newest, StoredRound, {"owner": organisation, "limit": limit})


def begin(connection: sa.Connection, organisation: str, now: dt.datetime) -> StoredRound:
    """Begins a round over everything that there is now. If another process has just begun one, returns that."""
    last = next(iter(newest(connection, organisation)), None)
    if last is not None and last.ended_at is None:
        return last
    new = StoredRound(
        nth=last.nth + 1 if last else 1,
        started_at=now,
        seen_at=now,
        size=log.size(connection, organisation),
        total=sum(count for *_, count in courses.courses_by_state(connection, organisation)),
    )
    connection.execute(sa.insert(kept), structs.row_of(organisation, new))
    return new


def advance(connection: sa.Connection, organisation: str, seen: StoredRound, new: StoredRound) -> bool:
    """Keeps how far a round is. Returns False if another process has read on meanwhile."""
    known = {"owner": organisation, "of_nth": seen.nth, "of_leaves": seen.leaves, "after": seen.course_after}
    return connection.execute(_same.values(msgspec.structs.asdict(new)), known).rowcount == 1


def view(newest: Sequence[StoredRound]) -> RoundView | None:
    """How far the verifier is, from the last two rounds. None if it has not begun."""
    if not newest:
        return None
    whole = [each.started_at for each in newest if each.ended_at]
    bad = next((each for each in newest if each.fault), newest[0])
    return RoundView(
        share=newest[0].share,
        started_at=newest[0].started_at,
        read_since=whole[0] if whole else None,
        fault=bad.fault,
        position=bad.bad_position,
        course=bad.bad_course,
        seq=bad.bad_seq,
    )


def may_write(connection: sa.Connection) -> bool:
    """Whether the role of this connection may write what is verified. SQLite knows no roles."""
    if connection.dialect.name == "sqlite":
        return False
    return bool(connection.execute(sa.select(sa.func.has_table_privilege("entry", "INSERT, UPDATE, DELETE"))).scalar())


_owner = sa.bindparam("owner", type_=sa.String)
_newest = (
    sa.select(*structs.columns(kept, StoredRound))
    .where(kept.c.organisation == _owner)
    .order_by(kept.c.nth.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_same = sa.update(kept).where(
    kept.c.organisation == _owner,
    kept.c.nth == sa.bindparam("of_nth", type_=sa.Integer),
    kept.c.leaves == sa.bindparam("of_leaves", type_=sa.BigInteger),
    kept.c.course_after == sa.bindparam("after", type_=sa.String),
    kept.c.ended_at.is_(None),
)

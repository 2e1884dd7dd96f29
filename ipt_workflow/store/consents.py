"""Whether courses are shared, and for what; and the events that tell subscribers when sharing ended or began again."""

import uuid
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import processing
from ipt_workflow.store.courses import course_decoder, one_of
from ipt_workflow.store.numbered_entries import numbered_entries, positions
from ipt_workflow.store.processing import CourseStanding
from ipt_workflow.store.schema import tables
from ipt_workflow.values.types import OF_CARE, SharingPurpose

course, entry, event = tables.course, tables.entry, tables.event
WITHHELD, RESUMED = "withheld", "resumed"  # the kinds of these events
PURPOSES: frozenset[str] = frozenset(get_args(SharingPurpose))
CAUSES = {WITHHELD: "withdraw_consent", RESUMED: "record_consent"}  # the triggers that may cause them

_owner = sa.bindparam("owner", type_=sa.String)
_versions = {
    dialect: sa.select(course.c.id, course.c.version, processing.ground_of(), processing.objected(), course.c.snapshot).where(
        course.c.organisation == _owner, listed
    )
    for dialect, listed in one_of(course.c.id, "ids").items()
}
_consents = numbered_entries(event.c.position, event.c.course_id, event.c.created_at, entry.c.id, entry.c.trigger).where(
    entry.c.trigger.in_(tuple(CAUSES.values()))
)
_OF_SHARING: sa.ColumnElement[bool] = sa.literal_column("kind IN ('withheld', 'resumed')")  # worded as in the partial index
_published = {
    dialect: sa.select(event.c.position, event.c.course_id, event.c.kind).where(event.c.organisation == _owner, _OF_SHARING, listed)
    for dialect, listed in one_of(event.c.course_id, "ids").items()
}


class Sharing(msgspec.Struct, frozen=True):
    """For which purposes a course may be shown to others, as it stood when that was read.

    Consent decides, by purpose. An objection takes out what does not serve care, a processing restriction everything.
    """

    open_to: frozenset[str] = PURPOSES
    standing: CourseStanding | None = None

    @property
    def of_care(self) -> bool:
        """Whether systems that take part in the care are shown the course."""
        return "TREAT" in self.open_to


def sharing(connection: sa.Connection, organisation: str, ids: Iterable[str]) -> dict[str, Sharing]:
    """For which purposes each of these courses may be shown to others now."""
    known = {"owner": organisation, "ids": list(ids)}
    rows = connection.execute(_versions[connection.dialect.name], known) if known["ids"] else ()
    return {row.id: _sharing(CourseStanding(row.version, row.processing, row.objected), row.snapshot) for row in rows}


def _sharing(standing: CourseStanding, snapshot: bytes) -> Sharing:
    if standing.processing:
        return Sharing(frozenset(), standing)
    allowed = OF_CARE if standing.objected else PURPOSES
    known = course_decoder.decode(snapshot)
    return Sharing(frozenset(each for each in allowed if known.shared_for(each)), standing)


def publish_changes(connection: sa.Connection, organisation: str, numbered: range) -> int:
    """Adds an event to the `numbered` ones, for each course whose sharing ended or began again. Returns how many.

    It follows the entry that caused it, and later events move on by one: nobody can have read these positions before the commit.
    What was withdrawn and given again since the last look changes nothing for a subscriber.
    """
    consents = connection.execute(_consents, {"owner": organisation, **positions(numbered)}).all()
    if not consents:
        return 0
    known = {"owner": organisation, "ids": list({row.course_id for row in consents})}
    in_order = sorted(connection.execute(_published[connection.dialect.name], known), key=lambda row: row.position)
    published = {row.course_id: row.kind for row in in_order}
    causes: list[tuple[Any, str]] = []
    for course_id, found in sharing(connection, organisation, known["ids"]).items():
        shared = found.of_care
        if shared == (published.get(course_id) == WITHHELD):
            kind = RESUMED if shared else WITHHELD
            own = [row for row in consents if row.course_id == course_id]
            causes.append((([row for row in own if row.trigger == CAUSES[kind]] or own)[-1], kind))
    for cause, kind in sorted(causes, key=lambda each: -each[0].position):
        _insert_after(connection, organisation, cause, kind)
    return len(causes)


def _insert_after(connection: sa.Connection, organisation: str, cause: Any, kind: str) -> None:
    later = (event.c.organisation == organisation, event.c.position > cause.position)
    moved = (event.c.organisation == organisation, event.c.position < 0)
    connection.execute(sa.update(event).where(*later).values(position=-1 - event.c.position))  # two steps: positions are unique
    connection.execute(sa.update(event).where(*moved).values(position=-event.c.position))
    new = {
        "organisation": organisation,
        "position": cause.position + 1,
        "id": str(uuid.uuid5(uuid.UUID(cause.id), kind)),
        "kind": kind,
        "course_id": cause.course_id,
        "created_at": cause.created_at,
    }
    connection.execute(sa.insert(event), new)

"""The entries among the events that have just received their positions, by which the log and the consents go on."""

from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.schema import tables

event, entry = tables.event, tables.entry
NUMBERED = event.c.position.between(sa.bindparam("first", type_=sa.Integer), sa.bindparam("last", type_=sa.Integer))
AFTER_ENTRIES = 2**31 - 1  # the seq by which all else sorts behind the entries of the same moment


def positions(numbered: range) -> dict[str, int]:
    """The parameters of `NUMBERED`."""
    return {"first": numbered.start, "last": numbered.stop - 1}


def numbered_entries(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Columns of the organisation `owner`'s entries, with their events, at the positions from `first` to `last`, in order.

    For the order PostgreSQL takes the index by position, also while its statistics are old. Any other would read all events.
    """
    same = (entry.c.organisation == event.c.organisation, entry.c.course_id == event.c.course_id, entry.c.seq == event.c.seq)
    return (
        sa.select(*columns)
        .select_from(event.join(entry, sa.and_(*same)))
        .where(
            event.c.organisation == sa.bindparam("owner", type_=sa.String),
            NUMBERED,
            event.c.kind == sa.literal_column("'entry'"),
        )
        .order_by(event.c.position)
    )

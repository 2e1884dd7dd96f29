"""The entries among the events that have just received their positions, by which the log and the consents go on."""

from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.schema import tables

event, entry = tables.event, tables.entry
AFTER_ENTRIES = 2**31 - 1  # the seq by which all else sorts behind the entries of the same moment


def numbered_entries(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Columns of the organisation `owner`'s entries, with their events, at the positions after `last`."""
    same = (entry.c.organisation == event.c.organisation, entry.c.course_id == event.c.course_id, entry.c.seq == event.c.seq)
    return (
        sa.select(*columns)
        .select_from(event.join(entry, sa.and_(*same)))
        .where(
            event.c.organisation == sa.bindparam("owner", type_=sa.String),
            event.c.position > sa.bindparam("last", type_=sa.Integer),
            event.c.kind == sa.literal_column("'entry'"),
        )
    )

"""What a move of entries changes beside the two courses, in the transaction of its unit."""

import sqlalchemy as sa

from ipt_workflow.store.schema.tables import entry_data, notice
from ipt_workflow.store.units import MovedEntries


def move(connection: sa.Connection, organisation: str, moved: MovedEntries) -> None:
    """Empties the sealed text of what left its course, and lets the notices about it follow.

    A notice keeps its client, whom the EHR named, and forgets the entry that it made: a person has decided where that belongs.
    """
    texts = (entry_data.c.organisation == organisation, entry_data.c.course_id == moved.source)
    connection.execute(sa.update(entry_data).where(*texts, entry_data.c.seq.in_(moved.emptied)).values(salt=None, sealed=None))
    about = (notice.c.organisation == organisation, notice.c.course_id == moved.source)
    for here, there in moved.numbers.items():
        follows = sa.update(notice).where(*about, notice.c.about_seq == here)
        connection.execute(follows.values(course_id=moved.target, about_seq=there, seq=None))

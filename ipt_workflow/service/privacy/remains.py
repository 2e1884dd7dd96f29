"""What remains after an erasure, and why. It claims nothing that was not done."""

from collections.abc import Iterator

from ipt_workflow.access.erasure import RemainingPart
from ipt_workflow.journal import facts
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import erasures as stored
from ipt_workflow.store.database import Connection
from ipt_workflow.store.erasures import ErasedSubject, Found

STRUCTURE = (
    "It proves what happened, when and by whom, and courses go on by it. It holds codes, counts, totals of measures and the EHR's names of"
    " appointments, and no words."
)
RECORDS = "They prove who read and wrote what, and name courses by our own ids."
COPIES = "They hold what they held when they were made. Replace them, or let their time run out. {}"
SHREDDED = "In those without the table client_key, the {} texts under the shredded keys cannot be read any more."
UNSEALED = "Shredding was not possible for {} texts: they were written without IPT_SECRET_KEYS, and can be read there."
ONE_KEY = "Shredding was not possible: the key of the text opens the other texts of the course too."
NAMES = "The reference and what was not under a key (messages, proposals, labels) can be read there."
ARCHIVE = "This server archives its WAL."
FREE_SPACE = {
    "sqlite": "What was removed is overwritten. Earlier changes may have left parts in free pages: run VACUUM, and let no reader hold the WAL.",
    "postgresql": "PostgreSQL leaves old rows until VACUUM FULL of the tables, and the WAL until it is recycled.",
}
RECIPIENTS = "They have what was delivered to them: {}. Ask them to erase it."
FILES = "Nobody knows where they are."
AMENDED = "Their texts correct this entry, or are corrected by it: {}. Erase them too if they say the same."


def what_remains(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> tuple[RemainingPart, ...]:
    """What remains, each with why."""
    return tuple(RemainingPart(*each) for each in _lines(connection, organisation, of, found))


def _lines(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> Iterator[tuple[str, str]]:
    if of.courses:
        yield "structure of the courses" if of.seq is None else "structure of the entry", STRUCTURE
    if of.seq is not None:
        others = _about_the_same(connection, organisation, of)
        if others:
            yield "other entries", AMENDED.format(", ".join(map(str, others)))
    yield "records of the audit log", RECORDS
    if recipients := stored.recipients(connection, organisation, of.courses):
        yield "copies at subscribers", RECIPIENTS.format(", ".join(recipients))
    yield "exports that people made", FILES
    yield "backups, replicas and archives", COPIES.format(" ".join(_copies(connection, organisation, of, found)))
    yield "free space of the database's files", FREE_SPACE[connection.dialect.name]


def _copies(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> Iterator[str]:
    """What can be read in copies of the database, and what cannot."""
    texts = len(found.get("entry_texts", ()))
    if of.seq is not None:
        yield ONE_KEY if texts else ""
    else:
        under_keys = stored.under_keys(connection, organisation, of.courses) if "keys" in found else 0
        if under_keys:
            yield SHREDDED.format(under_keys)
        if texts > under_keys:
            yield UNSEALED.format(texts - under_keys)
        yield NAMES
    if stored.archives(connection):
        yield ARCHIVE


def _about_the_same(connection: Connection, organisation: str, of: ErasedSubject) -> list[int]:
    """The entries that correct an entry, or that it corrects."""
    (course_id,) = of.courses
    root: dict[int, int] = {}
    for fact in facts(stored_courses.load_entries(connection, organisation, course_id)):
        corrected = fact.data.get("supersedes")
        root[fact.seq] = root.get(corrected, fact.seq) if isinstance(corrected, int) else fact.seq
    return [seq for seq, of_seq in root.items() if of_seq == root.get(of.seq or 0) and seq != of.seq]

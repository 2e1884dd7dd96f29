"""What remains after an erasure, and why. It claims nothing that was not done."""

from collections.abc import Iterator

from ipt_workflow.access.erasure import RemainingPart, remaining
from ipt_workflow.journal import facts
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import erasures as stored
from ipt_workflow.store.database import Connection
from ipt_workflow.store.erasures import ErasedSubject, Found

FREE_SPACE = {"sqlite": "free_pages", "postgresql": "old_rows"}


def what_remains(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> tuple[RemainingPart, ...]:
    """What remains, each with why."""
    return tuple(_parts(connection, organisation, of, found))


def _parts(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> Iterator[RemainingPart]:
    if of.courses:
        yield remaining("structure")
    if of.seq is not None and (others := _about_the_same(connection, organisation, of)):
        yield remaining("other_entries", names=tuple(map(str, others)))
    yield remaining("records")
    if recipients := stored.recipients(connection, organisation, of.courses):
        yield remaining("recipients", names=tuple(recipients))
    yield remaining("exports")
    yield remaining("copies")
    yield from _texts_in_copies(connection, organisation, of, found)
    if stored.archives(connection):
        yield remaining("archive")
    yield remaining(FREE_SPACE[connection.dialect.name])


def _texts_in_copies(connection: Connection, organisation: str, of: ErasedSubject, found: Found) -> Iterator[RemainingPart]:
    """Of the texts, which cannot be read any more in copies of the database, and which can."""
    texts = len(found.get("entry_texts", ()))
    if of.seq is not None:
        if texts:
            yield remaining("one_key")
        return
    under_keys = stored.under_keys(connection, organisation, of.courses) if "keys" in found else 0
    if under_keys:
        yield remaining("shredded", under_keys)
    if texts > under_keys:
        yield remaining("unsealed", texts - under_keys)


def _about_the_same(connection: Connection, organisation: str, of: ErasedSubject) -> list[int]:
    """The entries that correct an entry, or that it corrects."""
    (course_id,) = of.courses
    root: dict[int, int] = {}
    for fact in facts(stored_courses.load_entries(connection, organisation, course_id)):
        corrected = fact.data.get("supersedes")
        root[fact.seq] = root.get(corrected, fact.seq) if isinstance(corrected, int) else fact.seq
    return [seq for seq, of_seq in root.items() if of_seq == root.get(of.seq or 0) and seq != of.seq]

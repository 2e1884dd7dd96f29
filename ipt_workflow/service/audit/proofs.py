"""The verb that shows one entry with its bytes, and what checking them finds."""

import datetime as dt
from collections.abc import Mapping

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, attention
from ipt_workflow.errors import JournalBroken, NotFound
from ipt_workflow.journal import GENESIS, Checked, EntryChecks
from ipt_workflow.service import views
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.views import EntryView
from ipt_workflow.store import integrity

NO_ENTRY = "The course has no such entry."


class EntryProof(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a course, with its bytes as the database keeps them. `entry` is None if these are not the bytes of an entry.

    `stored_hash` stands beside the bytes, `found_hash` is theirs, `before_hash` that of the bytes of the entry before. `chain` is the
    result of checking the whole course.
    """

    course: str
    seq: int
    entry: EntryView | None
    canonical: str
    stored_hash: str
    found_hash: str
    before_hash: str
    checks: EntryChecks
    chain: Checked


class EntryProofs:
    """Shows what the entries of a clinic's courses prove."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def one(self, principal: Principal, course_id: str, seq: int) -> EntryProof:
        """An entry, checked by itself and with its course. Raises NotFound."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "verify the journal", [course_id])
        await self.clinic.log(principal, "read", "history", [stored])
        kept = await self.clinic.read(integrity.stored_entry, course_id, seq)
        if kept is None:
            raise NotFound(NO_ENTRY)
        ((_, chain),) = await self.clinic.read(integrity.check_courses, [course_id], self._due)
        before = journal.entry_hash(_bytes(kept.before)) if kept.before is not None else GENESIS
        return EntryProof(
            course=course_id,
            seq=seq,
            entry=await self._entry(principal, course_id, seq),
            canonical=_bytes(kept.canonical).decode(errors="replace"),
            stored_hash=str(kept.hash),
            found_hash=journal.entry_hash(_bytes(kept.canonical)),
            before_hash=before,
            checks=journal.check_entry(
                (kept.canonical, kept.hash, kept.salt, kept.sealed), before, self.clinic.organisation, course_id, seq
            ),
            chain=chain,
        )

    async def _entry(self, principal: Principal, course_id: str, seq: int) -> EntryView | None:
        try:
            known = await self.clinic.entries_for(principal, course_id)
            return next(iter(views.entry_views([each for each in known if each.written.seq == seq], known)), None)
        except JournalBroken:
            return None

    def _due(self, course: Course) -> Mapping[str, dt.datetime]:
        machine = self.clinic.machine_of(course)
        return attention.attention(machine.protocol, machine.bound, course, self.clinic.zone)


def _bytes(raw: object) -> bytes:
    """Bytes as they stand in the database; what is there instead of bytes proves nothing."""
    return bytes(raw) if isinstance(raw, bytes | memoryview) else str(raw).encode()

"""Gives each write the key under which its texts are sealed: that of the course, or a new one for a course that has none."""

from collections.abc import Iterable, Sequence

import msgspec
from uuid_utils import uuid7

from ipt_workflow.access.client_keys import ClientKey, KeyRing, key_of
from ipt_workflow.journal import Entry
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.store import client_keys as stored
from ipt_workflow.store.database import Connection, Database
from ipt_workflow.store.units import CourseChange, Unit


class ClientKeys:
    """The keys of an organisation's clients."""

    def __init__(self, database: Database, organisation: str, ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._organisation = organisation
        self._ring = ring
        self._clock = clock

    async def under_keys(self, unit: Unit) -> Unit:
        """The unit with the keys of its courses. Without `secret_keys`, texts are stored as they are."""
        if not (self._ring.makes_keys and unit.changes):
            return unit
        changes = [msgspec.structs.replace(each, key=await self._key(each)) for each in unit.changes]
        return msgspec.structs.replace(unit, changes=tuple(changes))

    async def _key(self, change: CourseChange) -> ClientKey:
        if change.expected == 0:
            return self._ring.make(str(uuid7()))
        held = self._ring.held(change.known_key) if change.known_key else None
        return held or await self._stored(change)

    async def _stored(self, change: CourseChange) -> ClientKey:
        """The key of a course, as the database has it now. A course that has none gets one: it is older than keys, or was erased."""
        found: ClientKey | None = await self._database.read(stored.of_course, self._organisation, change.course.id)
        if found is None:
            found = await self._database.write(self._add, change.course.id)
        return found

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drops keys that were shredded from this process."""
        for each in key_ids:
            self._ring.forget(each)

    async def opened(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries that were read past the engine, which opens texts, with theirs opened."""
        if not any(key_of(each.sealed) for each in entries):
            return list(entries)
        texts = await self._database.read(stored.opened, self._organisation, [(each.salt, each.sealed) for each in entries])
        return [msgspec.structs.replace(each, salt=salt, sealed=text) for each, (salt, text) in zip(entries, texts, strict=True)]

    def _add(self, connection: Connection, course_id: str) -> ClientKey:
        made = self._ring.make(str(uuid7()))
        stored.add(connection, self._organisation, course_id, made, self._clock.now())
        return msgspec.structs.replace(made, wrapped=None)

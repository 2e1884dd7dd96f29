"""The verbs of erasure: of a client, or of the text of one entry. Each first says what it would remove, and what would remain and why.

An erasure removes, is written to the register, and is recorded, in one transaction. That something happened, when and by whom, stays, so that
the journal still proves. After an older state of the database was restored, `again` repeats what the register says.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ipt_workflow.access import erasure
from ipt_workflow.access.erasure import NewErasure, RemainingPart
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, NotFound, RecordHeld
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.privacy import holds, mentions
from ipt_workflow.service.privacy.remains import what_remains
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import erasures as stored
from ipt_workflow.store import holds as stored_holds
from ipt_workflow.store.database import Connection
from ipt_workflow.store.erasures import ErasedKind, ErasedSubject, Found, StoredErasure

ERASE, READ = "erase a client", "read erasures"
ERASED, ENTRY_ERASED = "client erased", "text of an entry erased"
NO_CLIENT = "There is no client with this reference here. Check the reference; who was erased has none any more."
NO_ENTRY = "There is no such entry."
NO_ERASURE = "There is no such erasure."


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure, or with `dry_run` what it would be. `removed` names everything that went, by kind: entries as course and seq.

    `counts` are their numbers. `means` says the ground in words. `again_of` is the erasure that it repeats.
    """

    id: str | None
    dry_run: bool
    client: str
    course: str | None
    seq: int | None
    ground: str
    means: str
    person: str
    role: str
    via: str
    erased_at: dt.datetime
    counts: Mapping[str, int]
    removed: Mapping[str, tuple[str, ...]]
    remains: tuple[RemainingPart, ...]
    again_of: str | None


class RegisterLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a register that was kept elsewhere: what was erased, and on what ground."""

    id: str
    client: str
    course: str | None
    seq: int | None
    ground: str


class KeptRegister(msgspec.Struct, frozen=True, kw_only=True):
    """A register that was kept apart from the database."""

    register: tuple[RegisterLine, ...] = ()


class ErasureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased, by our own ids, who has it erased, and on what ground."""

    principal: Principal
    client: str
    course: str | None
    seq: int | None
    ground: str
    again_of: str | None = None


class Erasures:
    """The erasures of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def erase(self, principal: Principal, decode: Callable[[], NewErasure], *, dry_run: bool = False) -> ErasureView:
        """Erases a client, or the text of an entry.

        Raises PersonNeeded, ReauthenticationNeeded, CommandInvalid, NotFound, or RecordHeld.
        """
        await self._may_erase(principal)
        new = decode()
        if faults := erasure.faults(new):
            raise CommandInvalid(faults)
        return await self.carry_out(await self._order(principal, new), dry_run=dry_run)

    async def carry_out(
        self, order: ErasureOrder, *, dry_run: bool = False, also: Callable[[Connection, StoredErasure], None] | None = None
    ) -> ErasureView:
        """Carries out an order. `also` writes more in the same transaction. Raises NotFound or RecordHeld."""
        if dry_run:
            line, courses = await self.clinic.read(self._looked, order)
            await self.clinic.log(order.principal, "read", "erasure preview", courses)
            return _view(line, dry_run=True)

        def erased(connection: Connection, organisation: str) -> StoredErasure:
            line = self._erased(connection, organisation, order)
            if also:
                also(connection, line)
            return line

        view = _view(await self.clinic.write(erased))
        self.clinic.keys.forget(view.removed.get("keys", ()))
        return view

    async def again(self, principal: Principal, decode: Callable[[], Sequence[RegisterLine]]) -> list[ErasureView]:
        """Repeats every erasure of the register, and of one that was kept apart, of which something is there again. Returns the repetitions.

        Raises RecordHeld after all others, if a hold that is in force blocks one.
        """
        await self._may_erase(principal)
        kept = decode()
        own = [
            RegisterLine(id=each.id, client=each.client_id, course=each.course_id, seq=each.seq, ground=each.ground)
            for each in await self._register()
        ]
        done, held = list[ErasureView](), list[str]()
        for each in {(line.client, line.course, line.seq): line for line in (*kept, *own)}.values():
            order = ErasureOrder(
                principal=principal, client=each.client, course=each.course, seq=each.seq, ground=each.ground, again_of=each.id
            )
            try:
                line, _ = await self.clinic.read(self._looked, order)
                if line.removed != NOTHING:
                    done.append(await self.carry_out(order))
            except NotFound:
                continue  # the state that was restored is from before there was this client
            except RecordHeld as error:
                held += error.holds
        if held:
            raise RecordHeld(held)
        return done

    async def page(self, principal: Principal, after: str, limit: int) -> list[ErasureView]:
        """The register, in the order in which it was written."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.register, after, limit)
        await self.clinic.log(principal, "read", "erasures")
        return [_view(each) for each in found]

    async def one(self, principal: Principal, erasure_id: str) -> ErasureView:
        """Raises NotFound."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.line, erasure_id) if "\x00" not in erasure_id else None
        if found is None:
            raise NotFound(NO_ERASURE)
        await self.clinic.log(principal, "read", "erasure")
        return _view(found)

    async def _may_erase(self, principal: Principal) -> None:
        await self.clinic.require(principal, ERASE)
        await self.clinic.require_fresh(principal, ERASE)

    async def _order(self, principal: Principal, new: NewErasure) -> ErasureOrder:
        if new.course is not None:
            found = await self.clinic.read(stored.of_entry, new.course, new.seq or 0) if "\x00" not in new.course else None
            client, missing = found.client if found else None, NO_ENTRY
        else:
            client, missing = await self.clinic.read(stored_courses.client_id, new.client_ref or ""), NO_CLIENT
        if client is None:
            await self.clinic.log(principal, "refusal", ERASE, (), ["client"])
            raise NotFound(missing)
        return ErasureOrder(principal=principal, client=client, course=new.course, seq=new.seq, ground=new.ground)

    async def _register(self) -> list[StoredErasure]:
        found: list[StoredErasure] = []
        while page := await self.clinic.read(stored.register, found[-1].id if found else "", PAGE):
            found += page
        return found

    # In the transaction

    def _looked(self, connection: Connection, organisation: str, order: ErasureOrder) -> tuple[StoredErasure, tuple[str, ...]]:
        """The line that an erasure would write, and the courses that it is about."""
        if held := stored_holds.of_clients(connection, organisation, [order.client]):
            raise RecordHeld([holds.in_words(each) for each in held[order.client]])
        line, of, _ = self._planned(connection, organisation, order)
        return line, of.courses

    def _erased(self, connection: Connection, organisation: str, order: ErasureOrder) -> StoredErasure:
        holds.require_none(connection, organisation, order.client)
        line, of, wanted = self._planned(connection, organisation, order)
        action = ERASED if of.seq is None else ENTRY_ERASED
        record = self.clinic.event(order.principal, "access", action, of.courses, [order.ground])
        stored.erase(connection, organisation, wanted, line, record)
        return line

    def _planned(
        self, connection: Connection, organisation: str, order: ErasureOrder
    ) -> tuple[StoredErasure, ErasedSubject, list[ErasedKind]]:
        """What an erasure removes, and the line of the register that says so."""
        of, now = _subject(connection, organisation, order), self.clinic.clock.now()
        wanted = stored.parts(organisation, of, _naming(connection, organisation, of), now)
        found = stored.find(connection, wanted)
        remains = what_remains(connection, organisation, of, found)
        line = StoredErasure(
            id=new_id(),
            client_id=of.client,
            course_id=order.course,
            seq=of.seq,
            ground=order.ground,
            person=order.principal.person,
            role=order.principal.role,
            via=order.principal.via,
            erased_at=now,
            removed=_encoded(found),
            remains=msgspec.json.encode(remains),
            again_of=order.again_of,
        )
        return line, of, wanted


PAGE = 500
NOTHING = b"{}"


def _encoded(found: Found) -> bytes:
    return msgspec.json.encode({kind: found[kind] for kind in erasure.KINDS if kind in found})


def _subject(connection: Connection, organisation: str, order: ErasureOrder) -> ErasedSubject:
    """Raises NotFound."""
    if order.course is not None:
        of = stored.of_entry(connection, organisation, order.course, order.seq or 0)
    else:
        of = stored.subject(connection, organisation, order.client)
    if of is None:
        raise NotFound(NO_ENTRY if order.course is not None else NO_CLIENT)
    return of


def _naming(connection: Connection, organisation: str, of: ErasedSubject) -> list[str]:
    """The notices of nobody known that name the client."""
    if of.ref is None:
        return []
    open_notices: Iterable[stored.OpenNotice] = stored.open_notices(connection, organisation)
    return [each.id for each in open_notices if mentions.names(each.words, of.ref, each.prefix)]


def counts_of(line: StoredErasure) -> dict[str, int]:
    """How much was removed, by kind."""
    return {kind: len(names) for kind, names in msgspec.json.decode(line.removed, type=dict[str, tuple[str, ...]]).items()}


def _view(line: StoredErasure, *, dry_run: bool = False) -> ErasureView:
    removed = msgspec.json.decode(line.removed, type=dict[str, tuple[str, ...]])
    return ErasureView(
        id=None if dry_run else line.id,
        dry_run=dry_run,
        client=line.client_id,
        course=line.course_id,
        seq=line.seq,
        ground=line.ground,
        means=erasure.GROUNDS.get(line.ground, line.ground),
        person=line.person,
        role=line.role,
        via=line.via,
        erased_at=line.erased_at,
        counts=counts_of(line),
        removed=removed,
        remains=msgspec.json.decode(line.remains, type=tuple[RemainingPart, ...]),
        again_of=line.again_of,
    )

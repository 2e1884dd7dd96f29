"""The verbs about the people of a clinic: add, change and list them, record that somebody left, and what ends then."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.access import people
from ipt_workflow.access.people import Named, StaffRole
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.settings import is_zone
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access, covers, credentials, drafts, emergencies, tokens
from ipt_workflow.store import people as stored
from ipt_workflow.store.database import Connection
from ipt_workflow.store.people import PersonFilters, PersonUpdate, StoredPerson
from ipt_workflow.values.types import Identity, Person, whole

# What ends at once when a person loses roles, by leaving or by a change: a statement for each, which returns how many ended.
ENDS: dict[str, Callable[[Connection, str, str, Sequence[str], dt.datetime], int]] = {
    "tokens": tokens.revoke_roles,
    "cover": covers.end_of,
    "emergency accesses": emergencies.end_of,
    "sessions": access.end_roles,
    "passkeys": credentials.end_roles,
    "drafts": drafts.end_of,
}
EVERY_ROLE = (*people.STAFF_ROLES, "ehr", "operator")
NO_PERSON = "There is no such person. `ipt-workflow person list` shows those that exist."
TAKEN = "is the id of a person already; ids are never given to another person"
ZONE = "must be an IANA time zone such as Europe/Berlin"
ACTION_MAX = 80  # characters of an action in the audit log

Roles = Annotated[tuple[StaffRole, ...], Meta(min_length=1, max_length=len(people.STAFF_ROLES))]
Supervisors = Annotated[tuple[Person, ...], Meta(max_length=20)]
Language = Annotated[str, Meta(max_length=35, pattern=whole(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"))]
Zone = Annotated[str, Meta(max_length=64)]


class NewPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that adds a person. The id is never given to another person. `language` is a BCP 47 tag, `zone` an IANA time zone."""

    id: Person
    name: Identity
    roles: Roles
    supervisors: Supervisors = ()
    language: Language | None = None
    zone: Zone | None = None


class PersonChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a person. Fields that are left out keep their values. Tokens for a role that is taken away end at once."""

    name: Identity | UnsetType = UNSET
    roles: Roles | UnsetType = UNSET
    supervisors: Supervisors | UnsetType = UNSET
    language: Language | UnsetType | None = UNSET
    zone: Zone | UnsetType | None = UNSET


class NewPreferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which language and time zone somebody reads. None: as the browser says, and as the organisation has it."""

    language: Language | None = None
    zone: Zone | None = None


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the staff. `status` is `active` or `left`."""

    id: str
    name: str
    roles: tuple[str, ...]
    status: str
    supervisors: tuple[str, ...]
    language: str | None
    zone: str | None
    created_at: dt.datetime
    left_at: dt.datetime | None


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """A person who has left, and how many of the things that they held ended with it, by kind."""

    person: PersonView
    ended: dict[str, int]


class Changed(msgspec.Struct, frozen=True):
    """A person before a change, and how many things ended with it."""

    before: StoredPerson
    ended: dict[str, int]


class People:
    """Manages the people of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.staff = Staff(clinic)

    async def add(self, principal: Principal, decode: Callable[[], NewPerson]) -> PersonView:
        """Adds a person to the staff."""
        await self.clinic.require(principal, "manage people")
        new = decode()
        await self._check(principal, new.id, new.supervisors, new.zone)
        person = StoredPerson(
            id=new.id,
            name=new.name,
            roles=people.in_order(new.roles),
            language=new.language,
            zone=new.zone,
            created_at=self.clinic.clock.now(),
            supervisors=tuple(sorted(set(new.supervisors))),
        )
        if not await self.clinic.write(stored.insert, person):
            raise CommandInvalid([Fault("id", TAKEN)])
        await self._record(principal, new.id, "added")
        return _view(person)

    async def page(
        self, principal: Principal, filters: PersonFilters, after: str = "", limit: int | None = None
    ) -> list[PersonView]:
        """People after an id, in the order of their ids."""
        await self.clinic.require(principal, "manage people")
        return [_view(each) for each in await self.clinic.read(stored.page, filters, after, limit)]

    async def one(self, principal: Principal, person: str) -> PersonView:
        await self.clinic.require(principal, "manage people")
        return _view(await self._find(person))

    async def change(self, principal: Principal, person: str, decode: Callable[[], PersonChange]) -> PersonView:
        """Changes what is known of a person. What they hold in a role that they lose ends at once."""
        await self.clinic.require(principal, "manage people")
        await self._find(person)
        body = decode()
        given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        await self._check(principal, person, given.get("supervisors", ()), given.get("zone"))
        if "roles" in given:
            given["roles"] = people.in_order(given["roles"])
        if "supervisors" in given:
            given["supervisors"] = tuple(sorted(set(given["supervisors"])))
        changed = await self.clinic.write(_change, person, PersonUpdate(**given), self.clinic.clock.now())
        different = [name for name, value in given.items() if value != getattr(changed.before, name)]
        if "roles" in different:
            different.remove("roles")
            await self._record(principal, person, f"has roles {' '.join(given['roles'])}")
        if different:
            await self._record(principal, person, f"changed: {', '.join(different)}")
        return _view(await self._find(person))

    async def prefer(self, principal: Principal, new: NewPreferences) -> None:
        """Changes in which language and time zone somebody reads themselves."""
        if new.zone is not None and not is_zone(new.zone):
            raise CommandInvalid([Fault("zone", ZONE)])
        known = await self._find(principal.person)
        different = [name for name in ("language", "zone") if getattr(known, name) != getattr(new, name)]
        if different:
            await self.clinic.write(stored.change, principal.person, PersonUpdate(language=new.language, zone=new.zone))
            await self._record(principal, principal.person, f"changed: {', '.join(different)}")

    async def leave(self, principal: Principal, person: str) -> Departure:
        """Records that a person has left. Everything in ENDS ends with it; their open courses need another therapist."""
        await self.clinic.require(principal, "manage people")
        known, now = await self._find(person), self.clinic.clock.now()
        if known.status == "left":
            raise CommandInvalid([Fault("person", "has left already")])
        changed = await self.clinic.write(_change, person, PersonUpdate(status="left", left_at=now), now)
        await self._record(principal, person, "left")
        return Departure(person=_view(await self._find(person)), ended=changed.ended)

    async def come_back(self, principal: Principal, person: str) -> PersonView:
        """Records that a person who had left is here again. What ended stays ended."""
        await self.clinic.require(principal, "manage people")
        if (await self._find(person)).status != "left":
            raise CommandInvalid([Fault("person", "has not left")])
        update = PersonUpdate(status="active", left_at=None)
        await self.clinic.write(_change, person, update, self.clinic.clock.now())
        await self._record(principal, person, "came back")
        return _view(await self._find(person))

    async def _find(self, person: str) -> StoredPerson:
        found = None if "\x00" in person else await self.clinic.read(stored.find, person)
        if found is None:
            raise NotFound(NO_PERSON)
        return found

    async def _check(self, principal: Principal, person: str, supervisors: Sequence[str], zone: str | None) -> None:
        """Raises CommandInvalid for supervisors who may not be that, and for a time zone that is none."""
        named = [Named(f"supervisors[{index}]", each, "supervisor") for index, each in enumerate(supervisors)]
        faults = [Fault(each.where, "is the person; name somebody else") for each in named if each.person == person]
        faults += await self.staff.faults(principal, [each for each in named if each.person != person])
        if zone is not None and not is_zone(zone):
            faults.append(Fault("zone", ZONE))
        if faults:
            raise CommandInvalid(faults)

    async def _record(self, principal: Principal, person: str, verb: str) -> None:
        room = ACTION_MAX - len(f"person  {verb}")
        shown = person if len(person) <= room else f"{person[: room - 1]}…"
        await self.clinic.log(principal, "config", f"person {shown} {verb}")


def _change(connection: Connection, organisation: str, person: str, update: PersonUpdate, now: dt.datetime) -> Changed:
    """Changes a person, and ends what they hold in roles that they lose, in one transaction."""
    before = stored.lock(connection, organisation, person)
    assert before is not None  # rows of people are never removed
    stored.change(connection, organisation, person, update)
    if update.status == "left":
        lost: Sequence[str] = EVERY_ROLE
    else:
        lost = [] if update.roles is UNSET else [each for each in before.roles if each not in update.roles]
    ended = {what: end(connection, organisation, person, lost, now) for what, end in ENDS.items()} if lost else {}
    return Changed(before, ended)


def _view(person: StoredPerson) -> PersonView:
    return PersonView(**msgspec.structs.asdict(person))

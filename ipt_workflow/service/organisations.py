"""The verbs of the operator about organisations: create, list, show, change, suspend and resume them. And those about one's own."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.access.break_glass import AuditorText
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules, Supervision, access_rules
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.settings import is_zone
from ipt_workflow.service.clinic import Clinic, new_organisation
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import organisations as stored
from ipt_workflow.store.organisations import StoredOrganisation
from ipt_workflow.values.types import whole

NONE_SUCH = "There is no such organisation. `ipt-workflow organisation list` shows those that exist."
OrganisationStatus = Literal["active", "suspended"]
CONTACTS_MAX = 1000
CrisisContacts = Annotated[str, Meta(max_length=CONTACTS_MAX, pattern=whole(r"[^\x00-\x09\x0b-\x1f]*"))]
Title = Annotated[str, Meta(min_length=1, max_length=128, pattern=whole(r"[^\x00-\x1f]*"))]


class NewOrganisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates an organisation. Without a `zone`, its days are those of the setting `time_zone`."""

    id: Annotated[str, Meta(pattern=whole(r"[a-z0-9-]{1,40}"))]
    title: Title
    zone: str | None = None


class OrganisationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes an organisation. A suspended one keeps its data, and nobody signs in or sends anything to it.

    Fields that are left out keep their values. With null as its `zone`, its days are those of the setting `time_zone`.
    `supervision` says whether supervisors see its courses, or those of their supervisees.
    `auditor_text` says when auditors read sealed text: at any time (`open`), after they unmasked it (`unmask`), or `never`.
    `crisis_contacts` are printed for clients: whom they call when they need help at once, one a line.
    """

    title: Title | UnsetType = UNSET
    zone: str | UnsetType | None = UNSET
    status: OrganisationStatus | UnsetType = UNSET
    supervision: Supervision | UnsetType = UNSET
    auditor_text: AuditorText | UnsetType = UNSET
    crisis_contacts: CrisisContacts | UnsetType = UNSET


class OrganisationTexts(msgspec.Struct, frozen=True):
    """What an organisation says to its clients on paper."""

    crisis_contacts: str = ""


class OwnOrganisationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator changes of their own organisation. Fields that are left out keep their values."""

    title: Title | UnsetType = UNSET
    zone: str | UnsetType | None = UNSET
    supervision: Supervision | UnsetType = UNSET
    auditor_text: AuditorText | UnsetType = UNSET
    crisis_contacts: CrisisContacts | UnsetType = UNSET


class OrganisationView(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation. `zone` is null if its days are those of the setting `time_zone`."""

    id: str
    title: str
    zone: str | None
    status: str
    supervision: Supervision
    auditor_text: AuditorText
    crisis_contacts: str
    version: int
    created_at: dt.datetime


SETTINGS = (*AccessRules.__struct_fields__, *OrganisationTexts.__struct_fields__)  # what an organisation's settings hold
TEXTS = ("title", *OrganisationTexts.__struct_fields__)  # the audit log says that they changed, and not to what


def texts_of(settings: bytes) -> OrganisationTexts:
    """The texts in an organisation's settings."""
    return msgspec.json.decode(settings, type=OrganisationTexts)


class OrganisationList(msgspec.Struct, frozen=True):
    items: list[OrganisationView]


class Organisations:
    """Manages the organisations of an installation, for a principal of one `clinic`.

    What was done is recorded in the audit log of the organisation concerned.
    """

    def __init__(self, clinic: Clinic, clinics: Clinics) -> None:
        self.clinic = clinic
        self.clinics = clinics
        self._database = clinics.installation.database

    async def create(self, principal: Principal, decode: Callable[[], NewOrganisation]) -> OrganisationView:
        """Raises Forbidden, or CommandInvalid if the zone is not known or the id is taken."""
        await self.clinic.require(principal, "manage organisations")
        new = decode()
        _check_zone(new.zone)
        record = new_organisation(new.id, self.clinics.installation.clock.now(), new.title, new.zone)
        if not await self._database.write(stored.insert, record):
            raise CommandInvalid([Fault("id", "is the id of an organisation that exists: choose another")])
        await self._record(principal, record, "created")
        return _view(record)

    async def every(self, principal: Principal) -> OrganisationList:
        await self.clinic.require(principal, "manage organisations")
        return OrganisationList([_view(each) for each in await self._database.read(stored.every)])

    async def one(self, principal: Principal, organisation: str) -> OrganisationView:
        """Raises Forbidden or NotFound."""
        await self.clinic.require(principal, "manage organisations")
        return _view(await self._found(organisation))

    async def change(self, principal: Principal, organisation: str, decode: Callable[[], OrganisationChange]) -> OrganisationView:
        """Raises Forbidden, NotFound, or CommandInvalid if the zone is not known."""
        await self.clinic.require(principal, "manage organisations")
        await self._found(organisation)
        return await self._change(principal, organisation, decode())

    async def own(self, principal: Principal) -> OrganisationView:
        """The organisation of an administrator."""
        await self.clinic.require(principal, "manage own organisation")
        return _view(await self._found(self.clinic.organisation))

    async def change_own(self, principal: Principal, decode: Callable[[], OwnOrganisationChange]) -> OrganisationView:
        """Changes what an administrator decides of their own organisation. Raises Forbidden or CommandInvalid."""
        before = await self.own(principal)
        given = msgspec.structs.asdict(decode())
        different = {name: value for name, value in given.items() if value is not UNSET and value != getattr(before, name)}
        if not different:
            return before
        return await self._change(principal, self.clinic.organisation, OrganisationChange(**different))

    async def _change(self, principal: Principal, organisation: str, change: OrganisationChange) -> OrganisationView:
        changed = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        _check_zone(changed.get("zone"))
        while True:
            before = await self._found(organisation)
            columns = {name: value for name, value in changed.items() if name not in SETTINGS}
            after = msgspec.structs.replace(before, **columns, settings=_settings(before, changed), version=before.version + 1)
            if await self._database.write(stored.change, after):
                break
        for name, value in changed.items():
            words = f"{name.replace('_', ' ')} changed" if name in TEXTS else f"{name} {value or 'of the setting'}"
            await self._record(principal, after, words)
        return _view(after)

    async def _found(self, organisation: str) -> StoredOrganisation:
        found = None if "\x00" in organisation else await self._database.read(stored.find, organisation)
        if found is None:
            raise NotFound(NONE_SUCH)
        return found

    async def _record(self, principal: Principal, record: StoredOrganisation, done: str) -> None:
        clinic: Clinic | None = await self.clinics.of(record.id, record.version)
        if clinic is not None:
            await clinic.log(principal, "config", f"organisation {done}")


def _check_zone(zone: str | None) -> None:
    if zone is not None and not is_zone(zone):
        raise CommandInvalid([Fault("zone", "must be an IANA time zone such as Europe/Berlin")])


def _settings(before: StoredOrganisation, changed: Mapping[str, str]) -> bytes:
    """What the organisation sets, with what is changed of it."""
    chosen = {name: value for name, value in changed.items() if name in SETTINGS}
    if not chosen:
        return before.settings
    return msgspec.json.encode({**msgspec.json.decode(before.settings), **chosen}, order="deterministic")


def _view(record: StoredOrganisation) -> OrganisationView:
    rules = access_rules(record.settings)
    return OrganisationView(
        id=record.id,
        title=record.title,
        zone=record.zone,
        status=record.status,
        supervision=rules.supervision,
        auditor_text=rules.auditor_text,
        crisis_contacts=texts_of(record.settings).crisis_contacts,
        version=record.version,
        created_at=record.created_at,
    )

"""The verbs of disclosures: record one that was made by another way, and account for all of them."""

import datetime as dt
import secrets
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.journal.disclosures import DisclosureView, Way, accounted, six_years_before, together
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.privacy.access_reports import AccessReports, ReportedAccess, ReportQuery
from ipt_workflow.service.privacy.clients import NamedClient, RightsOfClients, SeenClient
from ipt_workflow.store import disclosures as stored
from ipt_workflow.store.disclosures import Recipient, StoredDisclosure
from ipt_workflow.store.emergencies import SealedText
from ipt_workflow.values.canonical import canonical
from ipt_workflow.values.types import SEALED, Moment

FUTURE = "must not be in the future"
RECORDED = "disclosure recorded"
EXPORTED = "client"  # how the action of an export of a client begins
PurposeOfDisclosure = Literal[
    "PUBHLTH", "THREAT", "HLEGAL", "GOV", "FAMRQT", "PWATRNY", "HRESCH", "TREAT", "ETREAT", "HPAYMT", "HOPERAT", "PATRQT"
]
Line = Annotated[str, Meta(min_length=1, max_length=200, extra=SEALED)]


class NewDisclosure(NamedClient, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A disclosure that somebody made by another way than this service. To whom and what is sealed.

    `purpose` is a code of HL7's v3-PurposeOfUse. `authorised`: the client agreed to it in writing.
    """

    recipient: Line
    address: Line | None = None
    what: Annotated[str, Meta(min_length=1, max_length=1000, extra=SEALED)]
    purpose: PurposeOfDisclosure
    disclosed_at: Moment | None = None
    authorised: bool = False


class Said(msgspec.Struct, frozen=True):
    """The sealed text of a disclosure."""

    recipient: str
    address: str | None
    what: str


class Accounting(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The disclosures of a client between two moments, the first first. `every`: also those that 45 CFR 164.528 leaves out.

    `client_id` is our own id of the client, as FHIR shows it.
    """

    client_ref: str | None
    client_id: str
    organisation: str
    from_: dt.datetime
    to: dt.datetime
    made_at: dt.datetime
    every: bool
    items: tuple[DisclosureView, ...]


class AccountingQuery(ReportQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client and a time. Without `from`, six years. `every`: also what an accounting by 45 CFR 164.528 leaves out."""

    every: bool = False


class DisclosureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A disclosure that was recorded."""

    id: str
    disclosed_at: dt.datetime
    recorded_at: dt.datetime
    purpose: str
    authorised: bool


class Disclosures:
    """The disclosures of a clinic's clients."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.clients = RightsOfClients(clinic)
        self.reports = AccessReports(clinic)

    async def record(self, principal: Principal, decode: Callable[[], NewDisclosure]) -> DisclosureReceipt:
        """Keeps a disclosure that was made by another way. Raises Forbidden, NotFound or CommandInvalid."""
        await self.clinic.require(principal, "record a disclosure")
        new = decode()
        client = await self.clients.seen(principal, "record a disclosure", new)
        now = self.clinic.clock.now()
        at = (new.disclosed_at or now).astimezone(dt.UTC)
        if at > now:
            raise CommandInvalid([Fault("disclosed_at", FUTURE)])
        kept = StoredDisclosure(
            id=new_id(),
            client_id=client.id,
            disclosed_at=at,
            purpose=new.purpose,
            authorised=new.authorised,
            person=principal.person,
            role=principal.role,
            via=principal.via,
            recorded_at=now,
        )
        record = self.clinic.event(principal, "access", RECORDED, client.courses)
        await self.clinic.write(stored.insert, kept, _sealed(Said(new.recipient, new.address, new.what)), record)
        return msgspec.convert(kept, DisclosureReceipt, from_attributes=True)

    async def accounting(self, principal: Principal, query: AccountingQuery) -> Accounting:
        """Raises Forbidden, NotFound or CommandInvalid."""
        client = await self.clients.seen(principal, "read who saw a course", query)
        now = self.clinic.clock.now()
        since, until = query.span(six_years_before(now), now)
        found = await self.of(client, since, until)
        await self.clinic.log(principal, "read", "accounting of disclosures", client.courses)
        return Accounting(
            client_ref=client.ref,
            client_id=client.id,
            organisation=await self.clinic.title(),
            from_=since,
            to=until,
            made_at=now,
            every=query.every,
            items=found if query.every else accounted(found),
        )

    async def of(self, client: SeenClient, since: dt.datetime, until: dt.datetime) -> tuple[DisclosureView, ...]:
        """All disclosures of a client between two moments, the first first. The caller records it."""
        recorded = await self.clinic.read(stored.of_client, client.id, since, until)
        accesses = [each for each in await self.reports.of(client, since, until) if _discloses(each)]
        systems = await self.clinic.read(stored.recipients, sorted({each.person for each in accesses}))
        single = [*map(_recorded, recorded), *(_by_service(each, systems.get(each.person)) for each in accesses)]
        return tuple(together(single))


def _discloses(access: ReportedAccess) -> bool:
    """Whether something left the clinic with it: to a system or a subscriber, or as an export of the client's data."""
    if access.kind == "export":
        return (access.action or "").startswith(EXPORTED)
    if access.role != "ehr":
        return False
    return access.kind == "read" or (access.kind == "delivery" and access.action == "delivered")


def _by_service(access: ReportedAccess, system: Recipient | None) -> DisclosureView:
    way: Way = "delivery" if access.kind == "delivery" else "export" if access.kind == "export" else "read"
    what = f"events of scope {system.scope}" if way == "delivery" and system and system.scope else access.action or ""
    return DisclosureView(
        recipient="the client" if way == "export" else access.name,
        address=system.address if system else None,
        what=(what,),
        purpose=access.purpose,
        authorised=False,
        way=way,
        times=access.times,
        first_at=access.first_at,
        last_at=access.last_at,
    )


def _recorded(kept: StoredDisclosure) -> DisclosureView:
    said = msgspec.json.decode(kept.said, type=Said) if kept.said else None
    return DisclosureView(
        recipient=said.recipient if said else None,
        address=said.address if said else None,
        what=(said.what,) if said else (),
        purpose=kept.purpose,
        authorised=kept.authorised,
        way="recorded",
        times=1,
        first_at=kept.disclosed_at,
        last_at=kept.disclosed_at,
    )


def _sealed(said: Said) -> SealedText:
    salt, document = secrets.token_bytes(journal.SALT_BYTES), canonical(msgspec.to_builtins(said))
    return SealedText(salt.hex(), document, journal.data_digest(salt, document))

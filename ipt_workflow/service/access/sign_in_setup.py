"""The verbs of the operator about how an organisation's people sign in: set it up, show it, and link people to their provider's names."""

from typing import Any

import msgspec

from ipt_workflow.access import oidc
from ipt_workflow.access.oidc import OidcSettings
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.sign_in import OrganisationSettings, SignInSettings
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.organisations import NONE_SUCH
from ipt_workflow.store import organisations, person_identities
from ipt_workflow.store.organisations import StoredOrganisation
from ipt_workflow.values.faults import shaped

KEPT = "private_key_jwt"


class SignInView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an organisation's people sign in, without secrets. `public_keys` are those that its provider registers."""

    organisation: str
    sign_in: SignInSettings
    public_keys: dict[str, Any] | None = None


class SignInSetup:
    """Sets up signing in, for a principal of one `clinic`. What was done is recorded in the audit log of the organisation concerned."""

    def __init__(self, clinic: Clinic, clinics: Clinics) -> None:
        self.clinic = clinic
        self.clinics = clinics
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    async def set(self, principal: Principal, organisation: str, wanted: dict[str, Any], secret: str | None) -> SignInView:
        """Sets everything about signing in anew. `secret` is the client's, unless the one before stays or a private key takes its place.

        Raises Forbidden, NotFound, or CommandInvalid with every fault.
        """
        await self.clinic.require(principal, "manage organisations")
        settings = shaped(SignInSettings, wanted)
        if settings.oidc and settings.oidc.secret:
            raise CommandInvalid([Fault("oidc.secret", "does not belong into the file: give the client's secret apart from it")])
        while True:
            before = await self._found(organisation)
            known = msgspec.json.decode(before.settings)
            sealed = self._sealed(settings.oidc, _settings_of(before).sign_in.oidc, secret) if settings.oidc else ""
            made = msgspec.structs.replace(settings.oidc, secret=sealed) if settings.oidc else None
            settings = msgspec.structs.replace(settings, oidc=made)
            content = msgspec.json.encode({**known, "sign_in": settings})
            after = msgspec.structs.replace(before, settings=content, version=before.version + 1)
            if await self.clinic.database.write(organisations.change, after):
                break
        await self._record(principal, after, "sign-in set up")
        return self._view(after)

    def _sealed(self, wanted: OidcSettings, before: OidcSettings | None, secret: str | None) -> str:
        """The client's secret, sealed: the one given, the one before, or for `private_key_jwt` a key that is made here."""
        same = before is not None and (before.client_id, before.authentication) == (wanted.client_id, wanted.authentication)
        if wanted.authentication == KEPT:
            if secret is not None:
                raise CommandInvalid([Fault("oidc.authentication", "is private_key_jwt, whose key is made here: give no secret")])
            return before.secret if before and same else self._box.seal(oidc.new_private_key())
        if secret is not None:
            return self._box.seal(secret)
        if before and same and before.issuer == wanted.issuer:  # no other provider is shown the secret
            return before.secret
        what = "issuer" if same else "client_id"
        raise CommandInvalid([Fault(f"oidc.{what}", "is new, so the client's secret is needed: give it with --client-secret-file")])

    async def show(self, principal: Principal, organisation: str) -> SignInView:
        """Raises Forbidden or NotFound."""
        await self.clinic.require(principal, "manage organisations")
        return self._view(await self._found(organisation))

    async def link(self, principal: Principal, organisation: str, person: str, subject: str) -> None:
        """Notes that the organisation's provider names a person so. Raises NotFound or CommandInvalid."""
        clinic, issuer = await self._provider(principal, organisation)
        if await clinic.read(person_identities.of_person, person) is None:
            raise NotFound("There is no such person. `ipt-workflow person list` shows those that exist.")
        if not await clinic.write(person_identities.link, issuer, subject, person, clinic.clock.now()):
            raise CommandInvalid([Fault("subject", "is linked already; unlink it first")])
        await clinic.log(principal, "config", f"person {person} linked to their identity provider"[:80])

    async def unlink(self, principal: Principal, organisation: str, subject: str) -> None:
        """Forgets whom the organisation's provider names so. Raises NotFound."""
        clinic, issuer = await self._provider(principal, organisation)
        known = await clinic.read(person_identities.find, issuer, subject)
        if known is None or not await clinic.write(person_identities.unlink, issuer, subject):
            raise NotFound("Nobody is linked to this subject.")
        await clinic.log(principal, "config", f"person {known.person} unlinked from their identity provider"[:80])

    async def _provider(self, principal: Principal, organisation: str) -> tuple[Clinic, str]:
        """The clinic of an organisation, and the issuer of its provider."""
        await self.clinic.require(principal, "manage organisations")
        record = await self._found(organisation)
        clinic, settings = await self.clinics.of(record.id, record.version), _settings_of(record).sign_in
        if clinic is None or settings.oidc is None:
            raise NotFound("The organisation has no identity provider. Set one up with `organisation sign-in set`.")
        return clinic, settings.oidc.issuer

    async def _found(self, organisation: str) -> StoredOrganisation:
        found = None if "\x00" in organisation else await self.clinic.database.read(organisations.find, organisation)
        if found is None:
            raise NotFound(NONE_SUCH)
        return found

    async def _record(self, principal: Principal, record: StoredOrganisation, done: str) -> None:
        clinic = await self.clinics.of(record.id, record.version)
        if clinic is not None:
            await clinic.log(principal, "config", done)

    def _view(self, record: StoredOrganisation) -> SignInView:
        settings = _settings_of(record).sign_in
        if settings.oidc is None:
            return SignInView(organisation=record.id, sign_in=settings)
        public = oidc.public_keys(self._box.open(settings.oidc.secret)) if settings.oidc.authentication == KEPT else None
        shown = msgspec.structs.replace(settings, oidc=msgspec.structs.replace(settings.oidc, secret=""))
        return SignInView(organisation=record.id, sign_in=shown, public_keys=public)


def _settings_of(record: StoredOrganisation) -> OrganisationSettings:
    return msgspec.json.decode(record.settings, type=OrganisationSettings)

"""Access tokens for systems (SMART Backend Services): an assertion is verified, and a token of five minutes is issued.

The token is opaque, and found like a fixed one. So a revoked system is refused at its next request, wherever that is served.
"""

import datetime as dt
import hashlib

import msgspec

from ipt_workflow.access import assertions, key_sets, scopes, tokens
from ipt_workflow.access.assertions import Announced
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.smart.published_keys import Keys, PublishedKeys
from ipt_workflow.errors import ProviderUnusable, TokenRefused
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import systems as stored
from ipt_workflow.store.systems import StoredSystem, Used
from ipt_workflow.store.tokens import TokenRecord

LIFE = dt.timedelta(minutes=5)
UNKNOWN = "its iss is no registered system, or one that was revoked"


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of RFC 6749, 5.1."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the type's name
    expires_in: int = int(LIFE.total_seconds())
    scope: str


class AccessTokens:
    """Issues the access tokens of the systems of all organisations. `published` fetches their keys."""

    def __init__(self, clinics: Clinics, published: PublishedKeys) -> None:
        self.clinics = clinics
        self._published = published

    async def issue(self, assertion: str, scope: str, audience: str, request_id: str | None) -> IssuedToken:
        """A token for whoever signed the assertion. `audience` is the URL of the token endpoint. Raises TokenRefused."""
        said = assertions.announced(assertion)
        clinic = await self.clinics.of(said.organisation)
        if clinic is None or not self.clinics.is_active(said.organisation):
            raise assertions.refused(UNKNOWN)
        system = await _system(clinic, said)
        key = key_sets.key_of(await self._keys(system, said), said.kid, said.algorithm)
        if key is None:
            raise assertions.refused("its kid names no key of the system, or none for its alg")
        claims = assertions.verified(assertion, key, said.algorithm, audience, clinic.clock.now())
        given = scopes.granted(scope, system.scopes.split())
        if not given:
            raise TokenRefused("invalid_scope", f"None of these scopes is registered for this system. It has {system.scopes}.")
        used = Used(
            hashlib.sha256(claims.jti.encode()).hexdigest(), dt.datetime.fromtimestamp(claims.exp, dt.UTC) + assertions.LEEWAY
        )
        return await _issued(clinic, system, used, given, request_id)

    async def _keys(self, system: StoredSystem, said: Announced) -> Keys:
        if system.jwks_url is None:
            return key_sets.read(system.jwks or b"")
        try:
            return await self._published.of(system.jwks_url, said.kid)
        except ProviderUnusable as error:
            raise TokenRefused("invalid_client", f"The keys at the registered jwks_url could not be read. {error}") from None


async def _system(clinic: Clinic, said: Announced) -> StoredSystem:
    system = await clinic.read(stored.find, said.system)
    if system is None or system.revoked_at is not None:
        raise assertions.refused(UNKNOWN)
    if said.jku is not None and said.jku != system.jwks_url:
        raise assertions.refused("its jku must be the registered jwks_url")
    return system


async def _issued(clinic: Clinic, system: StoredSystem, used: Used, given: tuple[str, ...], request_id: str | None) -> IssuedToken:
    minted, now = tokens.mint(), clinic.clock.now()
    token = TokenRecord(
        id=minted.id,
        role=system.role,
        name=system.id,
        subject=person_of(system),
        created_at=now,
        expires_at=now + LIFE,
        source=system.source,
        scopes=" ".join(given),
        system=system.id,
    )
    problem = await clinic.write(stored.issue, system.id, used, token, minted.secret_hash)
    if problem is not None:
        raise assertions.refused("its jti was used before" if problem == "used" else UNKNOWN)
    who = Principal(person=token.subject, role=system.role, request_id=request_id, token=token.id)  # type: ignore[arg-type]
    await clinic.log(who, "sign_in", f"token issued to system {system.id}")
    return IssuedToken(access_token=minted.text, scope=token.scopes or "")


def person_of(system: StoredSystem) -> str:
    """The name under which a system acts, in the journal and the audit log. No person of the staff has such a name."""
    return f"system:{system.id}"

"""Sources: the EHR systems that may send notices, and how a message is authenticated.

Each source has one registration and any number of keys. A message is authentic if any key of its source proves it. There are three
kinds of proof. Standard Webhooks has `whsec_` (shared) and `whpk_` (public) keys. `X-Signature` is the HMAC-SHA256 of the body in hex,
as Medplum sends it. A bearer token comes in a header of the channel, as HAPI sends it. An unknown source gets exactly the answer of a
wrong signature.
"""

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow import groups
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.secrets import SecretBox
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, SignatureInvalid
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import sources as stored
from ipt_workflow.store.sources import StoredSource, StoredSourceKey

KeyKind = Literal["standard-webhooks", "x-signature", "bearer"]
STANDARD_WEBHOOKS: KeyKind = "standard-webhooks"
X_SIGNATURE: KeyKind = "x-signature"
BEARER: KeyKind = "bearer"
X_SIGNATURE_HEADER = "x-signature"
NO_SOURCE = "There is no such source. `ipt-workflow source list` shows those that exist."
NOT_AUTHENTIC = "The message is not authentic. Sign it with a valid key of the source in the address, or send its bearer token."
OVERLAP_HOURS = 24
SECRET_MIN = 24
_DUMMY = signatures.SharedKey(secrets.token_bytes(32))

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Given = Annotated[str, Meta(min_length=SECRET_MIN, max_length=300, pattern=r"^[\x21-\x7e]+$")]


class NewSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source to register. `secret` is the EHR's own secret or public key; without it, a secret is made and shown once."""

    id: Name
    kind: KeyKind = "standard-webhooks"
    secret: Given | None = None
    names_persons: bool = False
    all_visits: bool = False
    client_prefix: Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class SourceKeyView(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    created_at: dt.datetime
    expires_at: dt.datetime | None


class SourceView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    names_persons: bool
    all_visits: bool
    client_prefix: str
    keys: tuple[SourceKeyView, ...]
    created_at: dt.datetime
    created_by: str
    disabled_at: dt.datetime | None


class ShownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A source with its new secret, shown this once; null if the EHR gave its own."""

    source: SourceView
    secret: str | None


class VerifiedSender(msgspec.Struct, frozen=True):
    """Who sent an authentic message: the source, the kind of key, and the message's id if that kind has one."""

    source: StoredSource
    kind: KeyKind
    message_id: str | None = None

    @property
    def actor(self) -> str:
        return f"ehr:{self.source.id}"


class Sources:
    """Registers the sources of a clinic and authenticates their messages."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._safe = SecretBox(listed(clinic.settings.secret_keys))

    async def add(self, principal: Principal, new: NewSource) -> ShownKey:
        """Registers a source with its first key."""
        policy.require(principal, "manage sources")
        if new.id == groups.SOURCE:
            raise CommandInvalid([Fault("id", "is the name of groups' records in the inbox; choose another name")])
        now = self.clinic.clock.now()
        source = StoredSource(
            id=new.id,
            names_persons=new.names_persons,
            all_visits=new.all_visits,
            client_prefix=new.client_prefix,
            created_at=now,
            created_by=principal.person,
        )
        key, shown = self._key(new.id, new.kind, new.secret, now)
        if not await self.clinic.write(stored.add, source, key):
            raise CommandInvalid([Fault("id", "is the name of another source; rotate its key, or choose another name")])
        await self.clinic.log(principal, "config", f"source {new.id} added")
        return ShownKey(source=await self._view(new.id), secret=shown)

    async def list(self, principal: Principal) -> list[SourceView]:
        policy.require(principal, "manage sources")
        return [await self._view_of(source) for source in await self.clinic.read(stored.every)]

    async def rotate(
        self, principal: Principal, source_id: str, kind: KeyKind, secret: str | None, overlap_hours: int = OVERLAP_HOURS
    ) -> ShownKey:
        """Adds a key. The old keys of its kind stay valid until the overlap ends; keys of other kinds do not change."""
        policy.require(principal, "manage sources")
        await self._find(source_id)
        now = self.clinic.clock.now()
        key, shown = self._key(source_id, kind, secret, now)
        until = now + dt.timedelta(hours=overlap_hours)
        await self.clinic.write(stored.rotate, key, until)
        await self.clinic.log(principal, "config", f"source {source_id} rotated")
        return ShownKey(source=await self._view(source_id), secret=shown)

    async def disable(self, principal: Principal, source_id: str) -> SourceView:
        """Refuses everything from the source from now on."""
        return await self._switch(principal, source_id, "disabled", self.clinic.clock.now())

    async def enable(self, principal: Principal, source_id: str) -> SourceView:
        return await self._switch(principal, source_id, "enabled", None)

    async def _switch(self, principal: Principal, source_id: str, word: str, disabled_at: dt.datetime | None) -> SourceView:
        policy.require(principal, "manage sources")
        if not await self.clinic.write(stored.set_disabled, source_id, disabled_at):
            raise NotFound(NO_SOURCE)
        await self.clinic.log(principal, "config", f"source {source_id} {word}")
        return await self._view(source_id)

    async def verify(self, source_id: str, headers: Mapping[str, str], body: bytes) -> VerifiedSender:
        """The sender of a message. Raises SignatureInvalid, which reveals nothing that the sender did not know."""
        now, real = self.clinic.clock.now(), self.clinic.clock.real()  # the sender signs by its own clock
        source = await self.clinic.read(stored.find, source_id) if "\x00" not in source_id else None
        if source is None or source.disabled_at is not None:
            if signatures.SIGNATURE in headers:
                signatures.verify(headers, body, [_DUMMY], real)
            raise SignatureInvalid(NOT_AUTHENTIC)
        keys = await self.clinic.read(stored.keys, source_id, now)
        return self._verified(source, keys, headers, body, real)

    def _verified(
        self, source: StoredSource, keys: Sequence[StoredSourceKey], headers: Mapping[str, str], body: bytes, now: dt.datetime
    ) -> VerifiedSender:
        """Checks the proof that the message carries. A wrong proof is final, even if another proof would hold."""
        if signatures.SIGNATURE in headers:
            known = [signatures.read_key(self._safe.open(key.secret)) for key in keys if key.kind == STANDARD_WEBHOOKS]
            signed = signatures.verify(headers, body, known or [_DUMMY], now)
            return VerifiedSender(source, STANDARD_WEBHOOKS, signed.id)
        if X_SIGNATURE_HEADER in headers:
            secrets_known = [self._safe.open(key.secret) for key in keys if key.kind == X_SIGNATURE]
            if _signed(headers[X_SIGNATURE_HEADER], body, secrets_known):
                return VerifiedSender(source, X_SIGNATURE)
        elif _bears(headers.get("authorization", ""), [key.secret for key in keys if key.kind == BEARER]):
            return VerifiedSender(source, BEARER)
        raise SignatureInvalid(NOT_AUTHENTIC)

    def _key(self, source_id: str, kind: KeyKind, given: str | None, now: dt.datetime) -> tuple[StoredSourceKey, str | None]:
        """A new key, and its secret if it is to be shown. Raises CommandInvalid for a secret of another kind."""
        secret = given or (signatures.mint_shared() if kind == STANDARD_WEBHOOKS else secrets.token_urlsafe(32))
        if kind == STANDARD_WEBHOOKS:
            try:
                signing_key = signatures.read_key(secret)
            except ValueError as error:
                raise CommandInvalid([Fault("secret", str(error))]) from None
            if isinstance(signing_key, signatures.PrivateKey):
                raise CommandInvalid([Fault("secret", "is a private key; give its public whpk_ key, or a shared whsec_ key")])
        kept = _digest(secret) if kind == BEARER else self._safe.seal(secret)
        key = StoredSourceKey(id=new_id(), source_id=source_id, kind=kind, secret=kept, created_at=now)
        return key, None if given else secret

    async def _find(self, source_id: str) -> StoredSource:
        source = await self.clinic.read(stored.find, source_id)
        if source is None:
            raise NotFound(NO_SOURCE)
        return source

    async def _view(self, source_id: str) -> SourceView:
        return await self._view_of(await self._find(source_id))

    async def _view_of(self, source: StoredSource) -> SourceView:
        keys = await self.clinic.read(stored.keys, source.id, self.clinic.clock.now())
        shown = tuple(SourceKeyView(kind=key.kind, created_at=key.created_at, expires_at=key.expires_at) for key in keys)
        return SourceView(keys=shown, **msgspec.structs.asdict(source))


def _signed(header: str, body: bytes, known: Sequence[str]) -> bool:
    """Whether the header `X-Signature` is the body's HMAC under one of the secrets; in constant time."""
    given = header.strip().lower().encode("utf-8", "replace")
    made = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode() for secret in known]
    matched = [hmac.compare_digest(each, given) for each in made]
    return any(matched)


def _bears(header: str, digests: Sequence[str]) -> bool:
    """Whether the header `Authorization` has a bearer token with one of these digests; in constant time."""
    scheme, _, token = header.partition(" ")
    digest = _digest(token.strip())
    matched = [hmac.compare_digest(each, digest) for each in digests]
    return scheme.lower() == "bearer" and any(matched)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

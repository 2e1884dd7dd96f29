"""Sources: the EHR systems that may send notices, and how a message is authenticated.

Each source has one registration and any number of keys. A message is authentic if any key of its source proves it. There are three
kinds of proof. Standard Webhooks has `whsec_` (shared) and `whpk_` (public) keys. `X-Signature` is the HMAC-SHA256 of the body in hex,
as Medplum sends it. A bearer token comes in a header of the channel, as HAPI sends it. An unknown source gets exactly the answer of a
wrong signature.

A message costs one lookup, which many share. What may change is read for every message: whether the source is enabled, which keys have
expired. What never changes is kept: the key that a stored secret holds.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.signatures import SigningKey
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, SecretUnreadable, SignatureInvalid
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import notices as stored_notices
from ipt_workflow.store import sources as stored
from ipt_workflow.store.sources import SourceUpdate, StoredSource, StoredSourceKey
from ipt_workflow.values.types import AN_IDENTITY, whole

KeyKind = Literal["standard-webhooks", "x-signature", "bearer"]
OtherVisits = Literal["wait", "ignore"]
STANDARD_WEBHOOKS: KeyKind = "standard-webhooks"
X_SIGNATURE: KeyKind = "x-signature"
BEARER: KeyKind = "bearer"
X_SIGNATURE_HEADER = "x-signature"
NO_SOURCE = "There is no such source. `ipt-workflow source list` shows those that exist."
NOT_AUTHENTIC = "The message is not authentic. Sign it with a valid key of the source in the address, or send its bearer token."
OVERLAP_HOURS = 24
OVERLAP_HOURS_MAX = 8760
DIGEST_KEY_BYTES = 32
SECRET_MIN = 24
OPENED_MAX = 1000  # keys that are kept open
_HEX = re.compile("[0-9A-Fa-f]{64}")
_DUMMY = signatures.SharedKey(secrets.token_bytes(32))

Name = Annotated[str, Meta(pattern=whole(r"[a-z0-9][a-z0-9_-]{0,31}"))]
Given = Annotated[str, Meta(min_length=SECRET_MIN, max_length=300, pattern=whole(r"[\x21-\x7e]+"))]


class NewSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source to register. `secret` is the EHR's own secret or public key; without it, a secret is made and shown once."""

    id: Name
    kind: KeyKind = "standard-webhooks"
    secret: Given | None = None
    names_persons: bool = False
    all_visits: bool = False
    other_visits: OtherVisits = "wait"
    client_prefix: Annotated[str, AN_IDENTITY, Meta(max_length=64)] = ""


class SourceChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a source's settings. Fields that are left out keep their values."""

    names_persons: bool | UnsetType = UNSET
    all_visits: bool | UnsetType = UNSET
    other_visits: OtherVisits | UnsetType = UNSET


class SourceRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that gives a source a new key. Without `kind`, it is of the kind of the newest key.

    For `overlap_hours`, older keys of that kind stay valid. `secret` is the EHR's own; without it, a secret is made and shown once.
    """

    kind: KeyKind | None = None
    secret: Given | None = None
    overlap_hours: Annotated[int, Meta(ge=0, le=OVERLAP_HOURS_MAX)] = OVERLAP_HOURS


class SourceKeyView(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    created_at: dt.datetime
    expires_at: dt.datetime | None


class SourceView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    names_persons: bool
    all_visits: bool
    other_visits: str
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
        self._opened: dict[str, SigningKey] = {}

    async def add(self, principal: Principal, decode: Callable[[], NewSource]) -> ShownKey:
        """Registers a source with its first key."""
        await self.clinic.require(principal, "manage sources")
        new = decode()
        if new.id == groups.SOURCE:
            raise CommandInvalid([Fault("id", "is the name of groups' records in the inbox; choose another name")])
        now = self.clinic.clock.now()
        source = StoredSource(
            id=new.id,
            names_persons=new.names_persons,
            all_visits=new.all_visits,
            other_visits=new.other_visits,
            digest_key=secrets.token_bytes(DIGEST_KEY_BYTES),
            client_prefix=new.client_prefix,
            created_at=now,
            created_by=principal.person,
        )
        key, shown = self._key(new.id, new.kind, new.secret, now)
        if not await self.clinic.write(stored.add, source, key):
            raise CommandInvalid([Fault("id", "is the name of another source; rotate its key, or choose another name")])
        await self._record(principal, new.id, "added")
        return ShownKey(source=await self._view(new.id), secret=shown)

    async def page(self, principal: Principal, after: str = "", limit: int | None = None) -> list[SourceView]:
        """The sources after a name, in the order of their names."""
        await self.clinic.require(principal, "manage sources")
        found = await self.clinic.read(stored.every, after, limit)
        keys = await self.clinic.read(stored.keys_of_many, [source.id for source in found], self.clinic.clock.now())
        return [_view(source, keys[source.id]) for source in found]

    async def waiting(self, principal: Principal) -> dict[str, int]:
        """How many notices of each source wait for a person, by source. Sources without any are left out."""
        await self.clinic.require(principal, "manage sources")
        counts = Counter[str]()
        for source_id, _risk, count in await self.clinic.read(stored_notices.waiting_by_source):
            counts[source_id] += count
        return dict(counts)

    async def one(self, principal: Principal, source_id: str) -> SourceView:
        await self.clinic.require(principal, "manage sources")
        return await self._view(source_id)

    async def change(self, principal: Principal, source_id: str, decode: Callable[[], SourceChange]) -> SourceView:
        """Changes settings from now on: notices that were decided stay as they are. The record names each new value."""
        await self.clinic.require(principal, "manage sources")
        known, body = await self._find(source_id), decode()
        given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        changed = {name: value for name, value in given.items() if value != getattr(known, name)}
        if changed:
            await self.clinic.write(stored.update, source_id, SourceUpdate(**changed))
            values = ", ".join(f"{name} {_word(value)}" for name, value in changed.items())
            await self._record(principal, source_id, f"changed: {values}")
        return await self._view(source_id)

    async def rotate(self, principal: Principal, source_id: str, decode: Callable[[], SourceRotation]) -> ShownKey:
        """Adds a key. The old keys of its kind stay valid until the overlap ends; keys of other kinds do not change."""
        await self.clinic.require(principal, "manage sources")
        await self._find(source_id)
        body, now = decode(), self.clinic.clock.now()
        newest = (await self.clinic.read(stored.keys, source_id, now))[-1]  # there is one: a rotation leaves its own key
        key, shown = self._key(source_id, body.kind or newest.kind, body.secret, now)
        await self.clinic.write(stored.rotate, key, now + dt.timedelta(hours=body.overlap_hours))
        await self._record(principal, source_id, "rotated")
        return ShownKey(source=await self._view(source_id), secret=shown)

    async def disable(self, principal: Principal, source_id: str) -> SourceView:
        """Refuses everything from the source from now on."""
        return await self._switch(principal, source_id, "disabled", self.clinic.clock.now())

    async def enable(self, principal: Principal, source_id: str) -> SourceView:
        return await self._switch(principal, source_id, "enabled", None)

    async def _switch(self, principal: Principal, source_id: str, word: str, disabled_at: dt.datetime | None) -> SourceView:
        await self.clinic.require(principal, "manage sources")
        if not await self.clinic.write(stored.set_disabled, source_id, disabled_at):
            raise NotFound(NO_SOURCE)
        await self._record(principal, source_id, word)
        return await self._view(source_id)

    async def _record(self, principal: Principal, source_id: str, verb: str) -> None:
        await self.clinic.log(principal, "config", f"source {source_id} {verb}")

    async def verify(
        self, source_id: str, headers: Mapping[str, str], read: Callable[[], Awaitable[bytes]]
    ) -> tuple[VerifiedSender, bytes]:
        """The sender of a message, and the body that `read` returns. Raises SignatureInvalid, which reveals nothing that the sender did
        not know.

        The body is read only if the headers may prove it. An unknown or disabled source is checked like one without keys, so that its
        answer takes as long.
        """
        found = await self.clinic.sources.get(source_id) if "\x00" not in source_id else None
        now = self.clinic.clock.now()
        known = found.keys if found is not None and found.source.disabled_at is None else ()
        valid = [key for key in known if not _expired(key, now)]
        real = self.clinic.clock.real()  # the sender signs by its own clock
        _check_headers(valid, headers, real)
        body = await read()
        kind, message_id = self._proof(valid, headers, body, real)
        assert found is not None  # without keys there is no proof
        return VerifiedSender(found.source, kind, message_id), body

    def _proof(
        self, keys: Sequence[StoredSourceKey], headers: Mapping[str, str], body: bytes, now: dt.datetime
    ) -> tuple[KeyKind, str | None]:
        """The kind of proof that the message carries, and its id. A wrong proof is final, even if another proof would hold.

        Raises SecretUnreadable if the proof may be that of a key that cannot be opened: the sender should try again.
        """
        if signatures.SIGNATURE in headers:
            known, unreadable = self._open(keys, STANDARD_WEBHOOKS)
            try:
                return STANDARD_WEBHOOKS, signatures.verify(headers, body, known or [_DUMMY], now).id
            except SignatureInvalid as error:
                raise unreadable or error from None
        if X_SIGNATURE_HEADER in headers:
            known, unreadable = self._open(keys, X_SIGNATURE)
            if _signed(headers[X_SIGNATURE_HEADER], body, known or [_DUMMY]):
                return X_SIGNATURE, None
            raise unreadable or SignatureInvalid(NOT_AUTHENTIC)
        return BEARER, None

    def _open(self, keys: Sequence[StoredSourceKey], kind: KeyKind) -> tuple[list[SigningKey], SecretUnreadable | None]:
        """The keys of a kind that can be opened, and the error if one cannot."""
        known, unreadable = [], None
        for key in keys:
            if key.kind == kind:
                try:
                    known.append(self._opened.get(key.id) or self._keep_open(key))
                except SecretUnreadable as error:
                    unreadable = error
        return known, unreadable

    def _keep_open(self, key: StoredSourceKey) -> SigningKey:
        """Opens a key, and keeps it under its id: its secret never changes. Raises SecretUnreadable."""
        secret = self._safe.open(key.secret)
        opened = signatures.read_key(secret) if key.kind == STANDARD_WEBHOOKS else signatures.SharedKey(secret.encode())
        if len(self._opened) >= OPENED_MAX:
            self._opened.clear()
        self._opened[key.id] = opened
        return opened

    def _key(self, source_id: str, kind: str, given: str | None, now: dt.datetime) -> tuple[StoredSourceKey, str | None]:
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
        return _view(source, await self.clinic.read(stored.keys, source.id, self.clinic.clock.now()))


def _view(source: StoredSource, keys: Sequence[StoredSourceKey]) -> SourceView:
    return SourceView(
        id=source.id,
        names_persons=source.names_persons,
        all_visits=source.all_visits,
        other_visits=source.other_visits,
        client_prefix=source.client_prefix,
        keys=tuple(SourceKeyView(kind=key.kind, created_at=key.created_at, expires_at=key.expires_at) for key in keys),
        created_at=source.created_at,
        created_by=source.created_by,
        disabled_at=source.disabled_at,
    )


def _word(value: bool | str) -> str:
    """A setting's value in the audit log."""
    return value if isinstance(value, str) else ("off", "on")[value]


def _expired(key: StoredSourceKey, now: dt.datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now


def _check_headers(keys: Sequence[StoredSourceKey], headers: Mapping[str, str], now: dt.datetime) -> None:
    """Raises SignatureInvalid for headers that can prove no body. A bearer token proves itself."""
    if signatures.SIGNATURE in headers:
        signatures.claim(headers, now)
    elif X_SIGNATURE_HEADER in headers:
        if not _HEX.fullmatch(headers[X_SIGNATURE_HEADER]):
            raise SignatureInvalid(NOT_AUTHENTIC)
    elif not _bears(headers.get("authorization", ""), [key.secret for key in keys if key.kind == BEARER]):
        raise SignatureInvalid(NOT_AUTHENTIC)


def _signed(header: str, body: bytes, keys: Sequence[SigningKey]) -> bool:
    """Whether the header `X-Signature`, in hex, is the body's HMAC under one of the keys; in constant time."""
    matched = [key.matches(body, bytes.fromhex(header)) for key in keys]
    return any(matched)


def _bears(header: str, digests: Sequence[str]) -> bool:
    """Whether the header `Authorization` has a bearer token with one of these digests; in constant time."""
    scheme, _, token = header.partition(" ")
    digest = _digest(token.strip())
    matched = [hmac.compare_digest(each, digest) for each in digests]
    return scheme.lower() == "bearer" and any(matched)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()

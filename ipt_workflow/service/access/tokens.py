"""The verbs about tokens: create, list and revoke them, and identify the bearer of one."""

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access import scopes, tokens
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Role
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, Unauthenticated
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.views import TokenView
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store import tokens as stored_tokens
from ipt_workflow.store.lookups import StoredToken, TokenTerms
from ipt_workflow.store.people import PersonLeft
from ipt_workflow.store.tokens import TokenRecord
from ipt_workflow.values.types import Person

SUBJECT_LEFT = (
    "names a person who has left; record that they came back, or name somebody else: ids are never given to another person"
)


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a token. `subject` defaults to the name. The token expires after `days`.

    The subject of a person's role, any but `ehr`, becomes a known person with that role.

    `source` binds a token of the role `ehr` to a source: its bearer may read what became of that source's messages. `scopes` narrow what
    the role allows.
    """

    role: Role
    name: Person
    subject: Person | None = None
    days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    source: Annotated[str, Meta(max_length=32)] | None = None
    scopes: tuple[str, ...] | None = None


class CreatedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. Only this answer shows its text."""

    id: str
    token: str
    role: Role
    name: str
    subject: str
    expires_at: dt.datetime
    source: str | None
    scopes: tuple[str, ...] | None


def check_valid(row: StoredToken | TokenTerms, now: dt.datetime) -> None:
    """Raises Unauthenticated if a token was revoked or has expired."""
    if row.revoked_at is not None or row.expires_at <= now:
        raise Unauthenticated("The token has been revoked or has expired. Ask an administrator for a new one.")


class Tokens:
    """Manages the tokens of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def create(self, principal: Principal, new: NewToken) -> CreatedToken:
        await self.clinic.require(principal, "manage tokens")
        await self.clinic.require_fresh(principal, "manage tokens")
        await self._check(new)
        narrowed = scopes.normal(new.scopes) if new.scopes is not None else None
        minted, now = tokens.mint(), self.clinic.clock.now()
        token = TokenRecord(
            id=minted.id,
            role=new.role,
            name=new.name,
            subject=new.subject or new.name,
            created_at=now,
            expires_at=now + dt.timedelta(days=new.days or self.clinic.settings.token_days),
            source=new.source,
            scopes=" ".join(narrowed) if narrowed else None,
        )
        try:
            await self.clinic.write(stored_tokens.insert, token, minted.secret_hash)
        except PersonLeft:
            raise CommandInvalid([Fault("subject", SUBJECT_LEFT)]) from None
        await self.clinic.log(principal, "config", f"token {token.id} created")
        return CreatedToken(
            id=token.id,
            token=minted.text,
            role=new.role,
            name=token.name,
            subject=token.subject,
            expires_at=token.expires_at,
            source=token.source,
            scopes=narrowed,
        )

    async def _check(self, new: NewToken) -> None:
        """Raises CommandInvalid for a source that is not known, or a role that no source has."""
        if new.source is None:
            return
        if new.role != "ehr":
            raise CommandInvalid([Fault("source", "is allowed only with the role ehr")])
        if "\x00" in new.source or await self.clinic.read(stored_sources.find, new.source) is None:
            raise CommandInvalid([Fault("source", "names no source; `ipt-workflow source list` shows those that exist")])

    async def list(self, principal: Principal) -> list[TokenView]:
        await self.clinic.require(principal, "manage tokens")
        return [_view(token) for token in await self.clinic.read(stored_tokens.every)]

    async def revoke(self, principal: Principal, token_id: str) -> None:
        await self.clinic.require(principal, "manage tokens")
        now = self.clinic.clock.now()
        if not await self.clinic.write(stored_tokens.revoke, token_id, now):
            raise NotFound("There is no such token, or it has already been revoked.")
        await self.clinic.log(principal, "config", f"token {token_id} revoked")


def _view(token: TokenRecord) -> TokenView:
    fields = {name: value for name, value in msgspec.structs.asdict(token).items() if name != "system"}
    return TokenView(**{**fields, "scopes": split(token.scopes)})


def split(stored: str | None) -> tuple[str, ...] | None:
    """Scopes as they are stored, one by one. None for a credential whose role alone decides."""
    return None if stored is None else tuple(stored.split())

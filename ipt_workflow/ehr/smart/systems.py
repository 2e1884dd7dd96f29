"""Systems: programs that get access tokens by proving that they hold a private key. They are registered, changed and revoked here."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.access import key_sets, scopes
from ipt_workflow.access.assertions import client_id
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store import systems as stored
from ipt_workflow.store.systems import StoredSystem, SystemUpdate
from ipt_workflow.values.types import Person, whole

NO_SYSTEM = "There is no such system, or it has been revoked."
SystemRole = Literal["ehr", "auditor"]
SystemId = Annotated[str, Meta(min_length=1, max_length=32, pattern=whole(r"[a-z0-9_-]+"))]
ScopeList = Annotated[tuple[str, ...], Meta(min_length=1, max_length=scopes.SCOPES_MAX)]


class NewSystem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that registers a system. Its public keys are at `jwks_url`, or are the JWKS of `jwks`.

    `scopes` narrow what the role allows. `source` binds a system of the role `ehr` to a source, whose messages it may then read.
    """

    id: SystemId
    name: Person | None = None
    role: SystemRole = "ehr"
    scopes: ScopeList
    jwks_url: str | None = None
    jwks: dict[str, Any] | None = None
    source: Annotated[str, Meta(max_length=32)] | None = None


class SystemChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a system. Fields that are left out keep their values. New keys replace the old ones, whichever way they came."""

    name: Person | UnsetType = UNSET
    scopes: ScopeList | UnsetType = UNSET
    jwks_url: str | UnsetType = UNSET
    jwks: dict[str, Any] | UnsetType = UNSET


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered system. `client_id` is what it calls itself when it asks for a token. `keys` are the ids of its inline keys."""

    id: str
    client_id: str
    name: str
    role: str
    scopes: tuple[str, ...]
    jwks_url: str | None
    keys: tuple[str, ...]
    source: str | None
    created_at: dt.datetime
    created_by: str
    last_token_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Systems:
    """Manages the systems of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def add(self, principal: Principal, decode: Callable[[], NewSystem]) -> SystemView:
        """Registers a system: a credential, so the person must have proved lately who they are. Raises CommandInvalid."""
        await self.clinic.require(principal, "manage systems")
        await self.clinic.require_fresh(principal, "manage systems")
        new = decode()
        url, keys = self._keys(new.jwks_url, new.jwks)
        row = StoredSystem(
            id=new.id,
            name=new.name or new.id,
            role=new.role,
            scopes=" ".join(scopes.normal(new.scopes)),
            jwks_url=url,
            jwks=keys,
            source=await self._source(new),
            created_at=self.clinic.clock.now(),
            created_by=principal.person,
        )
        if not await self.clinic.write(stored.add, row):
            raise CommandInvalid([Fault("id", "is taken by another system, perhaps by one that was revoked: choose another")])
        await self.clinic.log(principal, "config", f"system {row.id} added")
        return self._view(row)

    async def page(self, principal: Principal, after: str = "", limit: int | None = None) -> list[SystemView]:
        """Systems in the order of their ids."""
        await self.clinic.require(principal, "manage systems")
        return [self._view(each) for each in await self.clinic.read(stored.every, after, limit)]

    async def one(self, principal: Principal, system_id: str) -> SystemView:
        """Raises NotFound."""
        await self.clinic.require(principal, "manage systems")
        found = await self.clinic.read(stored.find, system_id)
        if found is None:
            raise NotFound(NO_SYSTEM)
        return self._view(found)

    async def change(self, principal: Principal, system_id: str, decode: Callable[[], SystemChange]) -> SystemView:
        """Changes a system. Its access tokens end, so that a change holds from its next one on. Raises NotFound or CommandInvalid."""
        await self.one(principal, system_id)
        await self.clinic.require_fresh(principal, "manage systems")
        body = decode()
        changed = SystemUpdate(name=body.name, scopes=" ".join(scopes.normal(body.scopes)) if body.scopes is not UNSET else UNSET)
        if body.jwks_url is not UNSET or body.jwks is not UNSET:
            url, keys = self._keys(body.jwks_url or None, body.jwks or None)
            changed = msgspec.structs.replace(changed, jwks_url=url, jwks=keys)
        named = [name for name, value in msgspec.structs.asdict(body).items() if value is not UNSET]
        if not named:
            raise CommandInvalid([Fault("", f"must name what changes: {', '.join(SystemChange.__struct_fields__)}")])
        if not await self.clinic.write(stored.update, system_id, changed, self.clinic.clock.now()):
            raise NotFound(NO_SYSTEM)
        await self.clinic.log(principal, "config", f"system {system_id} changed: {', '.join(named)}")
        return await self.one(principal, system_id)

    async def revoke(self, principal: Principal, system_id: str) -> SystemView:
        """Revokes a system. Its access tokens end at once. Raises NotFound."""
        await self.clinic.require(principal, "manage systems")
        if not await self.clinic.write(stored.revoke, system_id, self.clinic.clock.now()):
            raise NotFound(NO_SYSTEM)
        await self.clinic.log(principal, "config", f"system {system_id} revoked")
        return await self.one(principal, system_id)

    def _keys(self, url: str | None, keys: dict[str, Any] | None) -> tuple[str | None, bytes | None]:
        """Where a system's keys are, or the keys. Raises CommandInvalid."""
        if (url is None) == (keys is None):
            raise CommandInvalid([Fault("jwks", "or jwks_url is needed, and not both")])
        if url is not None:
            reach_of(self.clinic.settings).check(url, "jwks_url")
            return url, None
        return None, key_sets.checked(keys)

    async def _source(self, new: NewSystem) -> str | None:
        """The source that a system is bound to. Raises CommandInvalid for one that is not known, or a role that no source has."""
        if new.source is None:
            return None
        if new.role != "ehr":
            raise CommandInvalid([Fault("source", "is allowed only with the role ehr")])
        if "\x00" in new.source or await self.clinic.read(stored_sources.find, new.source) is None:
            raise CommandInvalid([Fault("source", "names no source; `ipt-workflow source list` shows those that exist")])
        return new.source

    def _view(self, row: StoredSystem) -> SystemView:
        return SystemView(
            id=row.id,
            client_id=client_id(self.clinic.organisation, row.id),
            name=row.name,
            role=row.role,
            scopes=tuple(row.scopes.split()),
            jwks_url=row.jwks_url,
            keys=_kids(row.jwks),
            source=row.source,
            created_at=row.created_at,
            created_by=row.created_by,
            last_token_at=row.last_token_at,
            revoked_at=row.revoked_at,
        )


def _kids(stored_keys: bytes | None) -> tuple[str, ...]:
    keys: Sequence[dict[str, Any]] = json_value(stored_keys)["keys"] if stored_keys else ()
    return tuple(str(each["kid"]) for each in keys)

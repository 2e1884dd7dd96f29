"""A clinic whose people sign in by passkeys, recovery codes and passwords, and an authenticator for each of them."""

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from typing import Any

import argon2
import msgspec
import pyotp
import pytest
import sqlalchemy as sa

from ipt_workflow.access import passwords
from ipt_workflow.access.principal import Principal
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access import sessions
from ipt_workflow.service.access.attempts import SignInAttempts, SignInRequest
from ipt_workflow.service.access.enrolment import Enrolled, Enrolment, TypedPassword
from ipt_workflow.service.access.local_sign_in import LocalSignIn
from ipt_workflow.service.access.sessions import SignedIn
from ipt_workflow.service.access.sign_in import OrganisationSettings, SignInSettings
from ipt_workflow.service.access.sign_in_limits import SignInLimits
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store.schema import tables
from support.authenticator import FLAG, VERIFIED, SoftwareAuthenticator

ORIGIN = "http://localhost:8000"
ADDRESS = f"{ORIGIN}/o/default"
STAFF = {"anna": "therapist", "ben": "therapist supervisor", "root": "admin", "gone": "therapist", "idle": ""}
PASSWORD = "quite a long sentence"
OPERATOR = Principal(person="operator", role="admin", via="cli")


def employ(connection: sa.Connection, passwords_on: bool = True) -> None:
    """Makes the staff, and turns passwords on."""
    for person, roles in STAFF.items():
        row = {"organisation": "default", "id": person, "name": person, "roles": roles, "created_at": dt.datetime.now(dt.UTC)}
        connection.execute(sa.insert(tables.person), {**row, "status": "left" if person == "gone" else "active"})
    content = msgspec.json.encode(OrganisationSettings(sign_in=SignInSettings(passwords=passwords_on)))
    row = {"id": "default", "title": "North Clinic", "status": "active", "version": 1, "created_at": dt.datetime.now(dt.UTC)}
    connection.execute(sa.delete(tables.organisation).where(tables.organisation.c.id == "default"))
    connection.execute(sa.insert(tables.organisation), {**row, "settings": content})


def hashes_cost_little(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


class Local:
    """The verbs of a clinic's local sign-in, as one browser uses them. `now` is the throttle's clock, in seconds."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.now = 0.0
        self.limits = SignInLimits(lambda: self.now)
        attempts = SignInAttempts(clinic, self.limits)
        self.sign_in = LocalSignIn(clinic, attempts, ADDRESS)
        self.enrolment = Enrolment(clinic, attempts, ADDRESS)

    def request(self, **changed: Any) -> SignInRequest:
        return SignInRequest(**{"address": "192.0.2.1", **changed})

    async def key(self, person: str) -> str:
        link = await self.enrolment.make_link(OPERATOR, person)
        assert link.link.startswith(f"{ADDRESS}/enrol?key=")
        return link.link.partition("key=")[2]

    async def enrol(self, person: str, authenticator: SoftwareAuthenticator, flags: FLAG = VERIFIED) -> Enrolled:
        answer = json.dumps(authenticator.make(await self.enrolment.ask(person), flags))
        return await self.enrolment.passkey_by_link(await self.key(person), answer, self.request())

    async def by_passkey(self, authenticator: SoftwareAuthenticator, **changed: Any) -> SignedIn:
        flags = changed.pop("flags", VERIFIED)
        answer = json.dumps(authenticator.sign(await self.sign_in.ask(), flags))
        return await self.sign_in.by_passkey(answer, self.request(**changed))

    async def set_password(self, person: str, secret: str, password: str = PASSWORD) -> Enrolled:
        typed = TypedPassword(password=password, secret=secret, code=self.code(secret))
        return await self.enrolment.password_by_link(await self.key(person), typed, self.request())

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).at(self.clinic.clock.now())

    async def principal(self, signed_in: SignedIn) -> Principal:
        return sessions.acting((await sessions.identify(Clinics(self.clinic), signed_in.secret))[1], "pages")

    async def log(self, kind: str = "sign_in") -> list[tuple[str, str, str, str | None]]:
        """Person, role, action and rules of every sign-in in the audit log, or of another kind."""
        table = tables.audit_event

        def read(connection: sa.Connection) -> list[tuple[str, str, str, str | None]]:
            statement = sa.select(table.c.person, table.c.role, table.c.action, table.c.rules).where(table.c.kind == kind)
            return [tuple(row) for row in connection.execute(statement.order_by(table.c.id))]

        return await self.clinic.database.read(read)


def run(settings: Settings, clock: VirtualClock, test: Callable[[Local], Awaitable[None]], *, passwords_on: bool = True) -> None:
    async def inside() -> None:
        clinic = await open_clinic(settings, clock)
        try:
            await clinic.database.write(employ, passwords_on)
            await test(Local(clinic))
        finally:
            await clinic.installation.close()

    asyncio.run(inside())

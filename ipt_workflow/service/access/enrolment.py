"""The verbs with which people get passkeys, recovery codes and passwords, and lose them.

An administrator makes a link that works once, for a day. With it, a person makes their first passkey, or sets a password where the
organisation has them, gets ten recovery codes, and is signed in. Somebody who is signed in adds further passkeys.
"""

import asyncio
import datetime as dt
import secrets
from typing import Any

import msgspec

from ipt_workflow.access import passkeys, passwords, people, recovery_codes, sessions
from ipt_workflow.access.passkeys import NewPasskey, PasskeyRefused, RelyingParty
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.access.tokens import digest
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, SignInRefused
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.attempts import SignInAttempts, SignInRequest
from ipt_workflow.service.access.local_sign_in import Asked, Challenges
from ipt_workflow.service.access.sessions import SignedIn, SignInSessions
from ipt_workflow.service.access.sign_in import NO_SIGN_IN, settings_of
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access as stored_access
from ipt_workflow.store import credentials, person_identities
from ipt_workflow.store.access import OneTime
from ipt_workflow.store.credentials import LinkOf, PasskeyTaken, StoredPasskey, StoredPassword

LINK_LIFE = dt.timedelta(hours=24)
LINKS_MAX = 1000  # of an organisation that wait to be used
NO_LINK = "This link was used already, or has expired. Ask your administrator for a new one."
NO_PERSON = "There is no such person here, or they have left."
NOT_ENROLLED = "Ask your administrator for a link with which you get passkeys."
NOT_MADE = "The passkey was not made. Begin again; use a device that asks for your PIN, face or finger."
TAKEN = "This passkey is known here already, or another one was added meanwhile. Begin again."
SHOWN_MAX = 40  # characters of a person's id in the audit log's action


class EnrolmentLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link with which a person enrols, once. Only this answer shows it."""

    person: str
    link: str
    expires_at: dt.datetime


class PasskeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey of a person. A synced one is kept on other devices of theirs too."""

    id: str
    created_at: dt.datetime
    used_at: dt.datetime | None
    synced: bool


class CredentialsView(msgspec.Struct, frozen=True, kw_only=True):
    """With what a person can sign in without an identity provider. `recovery_codes` are those that were not used."""

    person: str
    passkeys: list[PasskeyView]
    recovery_codes: int
    password_changed_at: dt.datetime | None

    @property
    def enrolled(self) -> bool:
        return bool(self.passkeys) or self.password_changed_at is not None


class Enrolled(msgspec.Struct, frozen=True):
    """The session of a person who has just enrolled, and their recovery codes, which are shown this once."""

    signed_in: SignedIn
    codes: tuple[str, ...]


class TypedPassword(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed to set a password. `secret` is that of the second factor, which their app has; `code` is one of its codes."""

    password: str
    secret: str
    code: str


class Enrolment:
    """Enrols the people of a clinic. `address` is that of the clinic's own pages, without a slash at the end."""

    def __init__(self, clinic: Clinic, attempts: SignInAttempts, address: str) -> None:
        self.clinic = clinic
        self.sessions = SignInSessions(clinic)
        self._attempts = attempts
        self._challenges = Challenges(clinic)
        self._address = address
        self._party = passkeys.relying_party(address)
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    @property
    def has_passkeys(self) -> bool:
        """Whether the address of the pages is one that passkeys take."""
        return self._party is not None

    async def has_passwords(self) -> bool:
        return (await settings_of(self.clinic)).passwords

    async def make_link(self, principal: Principal, person: str) -> EnrolmentLink:
        """A link for a person, in the place of one that they did not use. Raises Forbidden, NotFound or SignInRefused.

        Whoever holds it can act as the person: so administrators must have signed in just now.
        """
        await self._require(principal, person)
        secret, now = secrets.token_urlsafe(32), self.clinic.clock.now()
        data = msgspec.json.encode(LinkOf(person))
        link = OneTime(kind="enrolment", hash=digest(secret), data=data, created_at=now, expires_at=now + LINK_LIFE)
        if not await self.clinic.write(credentials.keep_link, link, LINKS_MAX):
            raise SignInRefused("waiting", "Too many links wait to be used. Try again tomorrow.")
        await self._record(principal, "config", "enrolment link made", person)
        return EnrolmentLink(person=person, link=f"{self._address}/enrol?key={secret}", expires_at=link.expires_at)

    async def of(self, principal: Principal, person: str) -> CredentialsView:
        """With what a person can sign in. Raises Forbidden or NotFound."""
        await self.clinic.require(principal, "manage sign-in")
        if await self._account(person) is None:
            raise NotFound(NO_PERSON)
        return await self.mine(person)

    async def revoke(self, principal: Principal, person: str) -> None:
        """Takes everything from a person with which they sign in here, and ends their sessions. Raises Forbidden or NotFound."""
        await self._require(principal, person)
        await self.clinic.write(credentials.remove_all, person, self.clinic.clock.now())
        await self._record(principal, "config", "passkeys and codes revoked", person)

    async def _require(self, principal: Principal, person: str) -> None:
        await self.clinic.require(principal, "manage sign-in")
        await self.clinic.require_fresh(principal, "manage sign-in")
        if await self._account(person) is None:
            raise NotFound(NO_PERSON)

    async def _account(self, person: str) -> person_identities.Account | None:
        account = None if "\x00" in person else await self.clinic.read(person_identities.of_person, person)
        return account if account and account.status == "active" else None

    async def linked_person(self, key: str) -> str:
        """Whose link it is, without using it. Raises SignInRefused."""
        kept = await self.clinic.read(stored_access.look, ("enrolment",), digest(key), self.clinic.clock.now())
        person = msgspec.json.decode(kept.data, type=LinkOf).person if kept else None
        if person is None or await self._account(person) is None:
            raise SignInRefused("link", NO_LINK)
        return person

    async def ask_another(self, principal: Principal) -> dict[str, Any]:
        """The options with which somebody who has just signed in makes another passkey. Raises NotFound or SignInRefused."""
        await self._require_enrolled(principal)
        return await self.ask(principal.person)

    async def ask(self, person: str) -> dict[str, Any]:
        """The options with which the browser makes a passkey of a person. Raises NotFound or SignInRefused."""
        party = self._passkeys
        known = await self.clinic.read(credentials.passkeys_of, person)
        handle = known[0].user_handle if known else passkeys.new_user_handle()
        challenge = await self._challenges.new(Asked(person=person, user_handle=handle))
        return party.creation(challenge, handle, person, person, [each.credential for each in known])

    async def passkey_by_link(self, key: str, text: str, request: SignInRequest) -> Enrolled:
        """Keeps the passkey that a person made with their link, and signs them in. Raises SignInRefused."""
        person = await self.linked_person(key)
        passkey, codes = await self._made(person, text), recovery_codes.new_codes()
        await self._enrol(key, person, codes, passkey=passkey)
        return await self._enrolled(person, "passkey", codes, request)

    async def password_by_link(self, key: str, typed: TypedPassword, request: SignInRequest) -> Enrolled:
        """Sets the password of a person by their link, and signs them in. Raises NotFound, SignInRefused or CommandInvalid."""
        person = await self.linked_person(key)
        password, codes = await self._password(person, typed), recovery_codes.new_codes()
        await self._enrol(key, person, codes, password=password)
        return await self._enrolled(person, "password", codes, request)

    async def _enrol(
        self,
        key: str,
        person: str,
        codes: tuple[str, ...],
        *,
        passkey: StoredPasskey | None = None,
        password: StoredPassword | None = None,
    ) -> None:
        hashes, now = [recovery_codes.hash_of(each) or "" for each in codes], self.clinic.clock.now()
        try:
            used = await self.clinic.write(credentials.enrol, digest(key), person, hashes, now, passkey=passkey, password=password)
        except PasskeyTaken:
            raise SignInRefused("passkey", TAKEN) from None
        if not used:
            raise SignInRefused("link", NO_LINK)

    async def _enrolled(self, person: str, method: str, codes: tuple[str, ...], request: SignInRequest) -> Enrolled:
        account = await self._account(person)
        roles = people.in_order(account.roles) if account else ()
        if not roles:
            await self._attempts.failed(person, "no_role", request)
        now = self.clinic.clock.now()
        signed_in = await self.sessions.begin(person, roles, method, authenticated_at=now, request_id=request.request_id)
        return Enrolled(signed_in, codes)

    async def mine(self, person: str) -> CredentialsView:
        """With what somebody can sign in."""
        known = await self.clinic.read(credentials.passkeys_of, person)
        password = await self.clinic.read(credentials.find_password, person)
        return CredentialsView(
            person=person,
            passkeys=[
                PasskeyView(id=each.id, created_at=each.created_at, used_at=each.used_at, synced=each.synced) for each in known
            ],
            recovery_codes=await self.clinic.read(credentials.codes_left, person),
            password_changed_at=password.changed_at if password else None,
        )

    async def _require_enrolled(self, principal: Principal) -> None:
        """Whoever changes their own passkeys or codes must have just signed in, and have enrolled by an administrator's link.

        So nobody who signs in at an identity provider gets a way in that stays when the provider locks them out.
        """
        sessions.require_fresh(principal, self.clinic.clock.now(), self.clinic.settings.reauthentication)
        if not (await self.mine(principal.person)).enrolled:
            raise SignInRefused("not_enrolled", NOT_ENROLLED, forbidden=True)

    async def add_passkey(self, principal: Principal, text: str) -> None:
        """Keeps another passkey of somebody who has just signed in. Raises SignInRefused."""
        await self._require_enrolled(principal)
        passkey = await self._made(principal.person, text)
        try:
            await self.clinic.write(credentials.add_passkey, passkey)
        except PasskeyTaken:
            raise SignInRefused("passkey", TAKEN) from None
        await self.clinic.log(principal, "sign_in", "passkey added")

    async def remove_passkey(self, principal: Principal, passkey_id: str) -> None:
        """Takes a passkey from somebody who has just signed in. One stays. Raises NotFound or CommandInvalid."""
        await self._require_enrolled(principal)
        if not await self.clinic.write(credentials.remove_passkey_but_last, principal.person, passkey_id):
            raise CommandInvalid([Fault("passkey", "is your last one, or gone already: add another one first")])
        await self.clinic.log(principal, "sign_in", "passkey removed")

    async def change_password(self, principal: Principal, typed: TypedPassword) -> None:
        """Sets another password for somebody who has just signed in. Raises NotFound, SignInRefused or CommandInvalid."""
        await self._require_enrolled(principal)
        await self.clinic.write(credentials.set_password, await self._password(principal.person, typed))
        await self.clinic.log(principal, "sign_in", "password changed")

    async def new_codes(self, principal: Principal) -> tuple[str, ...]:
        """New recovery codes for somebody who has just signed in. The old ones no longer work."""
        await self._require_enrolled(principal)
        codes = recovery_codes.new_codes()
        hashes = [recovery_codes.hash_of(each) or "" for each in codes]
        await self.clinic.write(credentials.replace_codes, principal.person, hashes, self.clinic.clock.now())
        await self.clinic.log(principal, "sign_in", "new recovery codes")
        return codes

    async def _made(self, person: str, text: str) -> StoredPasskey:
        """The passkey that a browser made for this person. Raises NotFound or SignInRefused."""
        party = self._passkeys
        try:
            answer = passkeys.read(text)
            challenge, asked = await self._challenges.use(answer, person)
            made: NewPasskey = party.made(challenge, answer)
        except PasskeyRefused as refused:
            raise SignInRefused(refused.why, NOT_MADE) from None
        return StoredPasskey(
            id=made.id,
            person=person,
            user_handle=asked.user_handle,
            credential=made.credential,
            sign_count=made.sign_count,
            synced=made.synced,
            created_at=self.clinic.clock.now(),
        )

    async def _password(self, person: str, typed: TypedPassword) -> StoredPassword:
        """Raises NotFound where the organisation has no passwords, or CommandInvalid with every fault."""
        if not await self.has_passwords():
            raise NotFound(NO_SIGN_IN)
        faults = list(passwords.faults(typed.password, [person, self.clinic.organisation]))
        step = passwords.step_of(typed.secret, typed.code, self.clinic.clock.real()) if passwords.is_secret(typed.secret) else None
        if step is None:
            faults.append(Fault("code", "is not the one that your app shows now; check the clock of your device"))
        if faults or step is None:
            raise CommandInvalid(faults)
        async with self._attempts.limits.hashes:
            hashed = await asyncio.to_thread(passwords.hashed, typed.password)
        return StoredPassword(
            person=person,
            hash=hashed,
            second_factor=self._box.seal(typed.secret),
            used_step=step,
            changed_at=self.clinic.clock.now(),
        )

    @property
    def _passkeys(self) -> RelyingParty:
        if self._party is None:
            raise NotFound(NO_SIGN_IN)
        return self._party

    async def _record(self, principal: Principal, kind: str, done: str, person: str) -> None:
        shown = person if len(person) <= SHOWN_MAX else f"{person[: SHOWN_MAX - 1]}…"
        await self.clinic.log(principal, kind, f"{done}: {shown}")

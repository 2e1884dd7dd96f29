"""The verbs of signing in without an identity provider: by a passkey, by a recovery code, by a password with a second factor."""

import asyncio
import datetime as dt
from typing import Any

import msgspec
from fido2.utils import websafe_encode

from ipt_workflow.access import passkeys, passwords, people, recovery_codes
from ipt_workflow.access.passkeys import KnownPasskey, PasskeyAnswer, PasskeyRefused, RelyingParty
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.access.tokens import digest
from ipt_workflow.errors import NotFound
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.attempts import SignInAttempts, SignInRequest
from ipt_workflow.service.access.sessions import SignedIn, SignInSessions
from ipt_workflow.service.access.sign_in import NO_SIGN_IN, settings_of
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access as stored_access
from ipt_workflow.store import credentials, person_identities
from ipt_workflow.store.access import OneTime
from ipt_workflow.store.credentials import StoredPasskey
from ipt_workflow.values.identities import is_identity

CHALLENGE_LIFE = dt.timedelta(minutes=passkeys.CHALLENGE_MINUTES)
CHALLENGES_MAX = 10_000  # of an organisation that wait for an answer


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a challenge is for: to sign in as whomever, or to make a passkey of a person, whom authenticators name by `user_handle`."""

    person: str | None = None
    user_handle: bytes = b""


class Challenges:
    """The challenges of a clinic. Each has one answer."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def new(self, asked: Asked) -> bytes:
        challenge, now = passkeys.new_challenge(), self.clinic.clock.now()
        kept = OneTime(
            kind="passkey",
            hash=digest(websafe_encode(challenge)),
            data=msgspec.json.encode(asked),
            created_at=now,
            expires_at=now + CHALLENGE_LIFE,
        )
        await self.clinic.write(stored_access.keep_newest, kept, CHALLENGES_MAX)
        return challenge

    async def use(self, answer: PasskeyAnswer, person: str | None = None) -> tuple[bytes, Asked]:
        """The challenge of an answer, and what it was for: to sign in, or to make a passkey of this person.

        Raises PasskeyRefused if it was for something else, has expired, was used, or is none.
        """
        challenge = passkeys.challenge_of(answer)
        named = digest(websafe_encode(challenge))
        kept = await self.clinic.write(stored_access.use, "passkey", named, self.clinic.clock.now())
        asked = msgspec.json.decode(kept.data, type=Asked) if kept else None
        if asked is None or asked.person != person:
            raise PasskeyRefused("challenge")
        return challenge, asked


class LocalSignIn:
    """Lets the people of a clinic in. `address` is that of the clinic's own pages, without a slash at the end."""

    def __init__(self, clinic: Clinic, attempts: SignInAttempts, address: str) -> None:
        self.clinic = clinic
        self.sessions = SignInSessions(clinic)
        self._attempts = attempts
        self._challenges = Challenges(clinic)
        self._party = passkeys.relying_party(address)
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    async def require_passwords(self) -> None:
        """Raises NotFound where the organisation has no passwords."""
        if not (await settings_of(self.clinic)).passwords:
            raise NotFound(NO_SIGN_IN)

    @property
    def _passkeys(self) -> RelyingParty:
        if self._party is None:
            raise NotFound(NO_SIGN_IN)
        return self._party

    async def ask(self) -> dict[str, Any]:
        """The options with which the browser asks for a passkey. Raises NotFound."""
        party = self._passkeys
        return party.request(await self._challenges.new(Asked()))

    async def by_passkey(self, text: str, request: SignInRequest) -> SignedIn:
        """Begins a session by a browser's answer. Raises NotFound, SignInThrottled or SignInRefused."""
        party = self._passkeys
        try:
            answer = passkeys.read(text)
            passkey_id = passkeys.id_of(answer)
        except PasskeyRefused as refused:
            self._attempts.begin("", request)
            await self._attempts.failed(None, refused.why, request)
        self._attempts.begin(f"passkey {passkey_id}", request)
        known = await self.clinic.read(credentials.find_passkey, passkey_id)
        try:
            person = await self._proved(party, answer, known)
        except PasskeyRefused as refused:
            await self._attempts.failed(known.person if known else None, refused.why, request)
        self._attempts.succeeded(f"passkey {passkey_id}", request)
        return await self._begin(person, "passkey", request)

    async def _proved(self, party: RelyingParty, answer: PasskeyAnswer, known: StoredPasskey | None) -> str:
        """Whose passkey answered, which is noted. Raises PasskeyRefused."""
        challenge, _ = await self._challenges.use(answer)
        if known is None:
            raise PasskeyRefused("unknown")
        count, synced = party.verified(challenge, _key_of(known), answer)
        if not await self.clinic.write(credentials.note_passkey, known, count, synced=synced, at=self.clinic.clock.now()):
            raise PasskeyRefused("counter")
        return known.person

    async def by_recovery_code(self, person: str, code: str, request: SignInRequest) -> SignedIn:
        """Begins a session by a recovery code, which is used up. Raises SignInThrottled or SignInRefused."""
        named = person if is_identity(person) else None
        self._attempts.begin(_account(person), request)
        typed = recovery_codes.hash_of(code)
        account = await self.clinic.read(person_identities.of_person, named or "")
        if not await self.clinic.write(credentials.use_code, named or "", typed or ""):
            await self._attempts.failed(account.person if account else None, "recovery_code", request)
        self._attempts.succeeded(_account(person), request)
        return await self._begin(named or "", "recovery", request)

    async def by_password(self, person: str, password: str, code: str, request: SignInRequest) -> SignedIn:
        """Begins a session by a password and a code of the second factor. Raises NotFound, SignInThrottled or SignInRefused."""
        await self.require_passwords()
        self._attempts.begin(_account(person), request)
        named = person if is_identity(person) else ""
        account = await self.clinic.read(person_identities.of_person, named)
        known = await self.clinic.read(credentials.find_password, named)
        async with self._attempts.limits.hashes:
            right = await asyncio.to_thread(passwords.matches, password, known.hash if known else None)
        secret = self._box.open(known.second_factor) if known else passwords.new_secret()
        step = passwords.step_of(secret, code, self.clinic.clock.real())
        why = "password" if not right or known is None else "second_factor" if step is None else None
        if why is None and not await self.clinic.write(credentials.use_step, named, step or 0, known.hash if known else ""):
            why = "second_factor"
        if why is not None:
            await self._attempts.failed(account.person if account else None, why, request)
        self._attempts.succeeded(_account(person), request)
        return await self._begin(named, "password", request)

    async def _begin(self, person: str, method: str, request: SignInRequest) -> SignedIn:
        """Begins the session of somebody who has proved who they are, or follows the one that they have here."""
        account = await self.clinic.read(person_identities.of_person, person)
        roles = people.in_order(account.roles) if account and account.status == "active" else ()
        if not roles:
            await self._attempts.failed(person, "no_role", request)
        current = request.current
        return await self.sessions.begin(
            person,
            roles,
            method,
            authenticated_at=self.clinic.clock.now(),
            before=current if current and current.person == person else None,
            request_id=request.request_id,
        )


def _key_of(passkey: StoredPasskey) -> KnownPasskey:
    return KnownPasskey(credential=passkey.credential, sign_count=passkey.sign_count, user_handle=passkey.user_handle)


def _account(typed: str) -> str:
    """How the throttle names an account, however long a text somebody typed."""
    return f"person {digest(typed)}"

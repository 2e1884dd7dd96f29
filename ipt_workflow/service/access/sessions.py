"""The verbs about sessions of people: begin one, act in it, take another role, list and end them."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from ipt_workflow.access import policy, sessions
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.sessions import SessionSecret
from ipt_workflow.course.context import Via
from ipt_workflow.errors import NotFound, SessionOver, SignInRefused
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import access as stored
from ipt_workflow.store.access import OneTime, StoredSession

SEEN_EVERY = dt.timedelta(minutes=1)  # when a session was last used is written at most so often
FORGET_AFTER = dt.timedelta(days=30)
LAPSED_FOR = dt.timedelta(hours=12)  # so long is what comes after the end of a session kept for its person
NO_LONGER = "You may no longer sign in in these roles. Start the sign-in again, or ask your administrator."
NO_SESSION = "There is no such session, or it has ended."


class SignInSessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a person. `current` says whether the caller acts in it."""

    id: str
    person: str
    role: str | None
    method: str
    created_at: dt.datetime
    authenticated_at: dt.datetime | None
    seen_at: dt.datetime
    expires_at: dt.datetime
    current: bool


class ProviderIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """How an identity provider names a person, and its own session. `logout_hint` is the sealed ID token."""

    issuer: str
    subject: str
    session: str | None = None
    logout_hint: bytes | None = None


class SignedIn(msgspec.Struct, frozen=True):
    """A session that has just begun, and the secret for its cookie."""

    session: StoredSession
    secret: SessionSecret


async def identify(
    clinics: Clinics, secret: SessionSecret | None, *, by_access_token: bool = False
) -> tuple[Clinic, StoredSession]:
    """The clinic and the session of a cookie or an access token. Notes that it was used. Raises SessionOver."""
    known = await clinics.installation.sessions.get(secret.id) if secret else None
    hashed = (known.session.access_hash if by_access_token else known.session.secret_hash) if known else None
    if secret is None or known is None or hashed is None or not sessions.same_hash(secret.hash, hashed):
        raise SessionOver
    session, now = known.session, clinics.installation.clock.now()
    if sessions.is_over(session, now, clinics.installation.settings.session_idle):
        raise SessionOver(session.organisation)
    clinic = await clinics.of(session.organisation, known.organisation_version)
    if clinic is None or known.organisation_status != "active":
        raise SessionOver(session.organisation)
    if now - session.seen_at >= SEEN_EVERY:
        await clinic.write(stored.change, session.id, {"seen_at": now})
    return clinic, session


async def lapsed(clinics: Clinics, secret: SessionSecret | None) -> tuple[Clinic, StoredSession] | None:
    """The clinic and the session of a cookie that ended by itself lately. None if anything else is the matter with it.

    Nothing is shown in such a session. What its person had written and sends now is kept for them.
    """
    known = await clinics.installation.sessions.get(secret.id) if secret else None
    if secret is None or known is None or not sessions.same_hash(secret.hash, known.session.secret_hash):
        return None
    session, now = known.session, clinics.installation.clock.now()
    ended = min(session.expires_at, session.seen_at + clinics.installation.settings.session_idle)
    clinic = await clinics.of(session.organisation, known.organisation_version)
    active = clinic is not None and known.organisation_status == "active" and session.ended_at is None
    return (clinic, session) if clinic and active and ended <= now < ended + LAPSED_FOR else None


def acting(session: StoredSession, via: Via, request_id: str | None = None) -> Principal:
    """The person of a session in the role they have taken, or the first they have."""
    return Principal(
        person=session.person,
        role=session.role or session.roles.split()[0],  # type: ignore[arg-type]  # the columns hold roles only
        via=via,
        request_id=request_id,
        session=session.id,
        authenticated_at=session.authenticated_at,
    )


class SignInSessions:
    """Manages the sessions of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def begin(
        self,
        person: str,
        roles: Sequence[str],
        method: str,
        *,
        authenticated_at: dt.datetime | None,
        provider: ProviderIdentity | None = None,
        before: StoredSession | None = None,
        request_id: str | None = None,
    ) -> SignedIn:
        """Begins a session. Somebody with one role takes it at once; others choose.

        `before` is the person's session that this one follows after they proved again who they are: it keeps its role and its end.
        """
        now, secret = self.clinic.clock.now(), sessions.new_secret()
        role = before.role if before and before.role in roles else roles[0] if len(roles) == 1 else None
        session = StoredSession(
            id=secret.id,
            organisation=self.clinic.organisation,
            secret_hash=secret.hash,
            person=person,
            role=role,
            roles=" ".join(roles),
            method=method,
            created_at=now,
            authenticated_at=authenticated_at,
            seen_at=now,
            expires_at=before.expires_at if before else now + self.clinic.settings.session_length,
            issuer=provider.issuer if provider else None,
            subject=provider.subject if provider else None,
            provider_session=provider.session if provider else None,
            logout_hint=provider.logout_hint if provider else None,
        )
        if before:
            await self._follow(before, session, "reauthenticated")
        elif not await self.clinic.write(stored.insert, session, now - FORGET_AFTER):
            raise SignInRefused("no_role", NO_LONGER, forbidden=True)
        await self.clinic.log(acting(session, "pages", request_id), "sign_in", f"signed in by {method}")
        return SignedIn(session, secret)

    async def take_role(self, session: StoredSession, role: str, request_id: str | None = None) -> SignedIn:
        """Goes on in another role, in a session with another id. Raises SignInRefused for a role that the person has not."""
        if role not in session.roles.split():
            raise SignInRefused("role", "You do not have this role. Choose one of yours.", forbidden=True)
        secret = sessions.new_secret()
        now = self.clinic.clock.now()
        new = msgspec.structs.replace(
            session, id=secret.id, secret_hash=secret.hash, access_hash=None, role=role, created_at=now, seen_at=now
        )
        await self._follow(session, new, "role")
        await self.clinic.log(acting(new, "pages", request_id), "sign_in", f"took the role {role}")
        return SignedIn(new, secret)

    async def _follow(self, old: StoredSession, new: StoredSession, why: str) -> None:
        if not await self.clinic.write(stored.replace, old.id, new, why):
            raise SessionOver(self.clinic.organisation)

    async def open_access(self, session: StoredSession, request_id: str | None = None) -> SessionSecret:
        """A token by which a program acts in this session, and ends with it. A new one replaces the old.

        Raises ReauthenticationNeeded unless the person proved lately who they are, and SessionOver before they have taken a role.
        """
        sessions.require_fresh(acting(session, "pages"), self.clinic.clock.now(), self.clinic.settings.reauthentication)
        secret = sessions.new_secret(session.id)
        if session.role is None or not await self.clinic.write(stored.change, session.id, {"access_hash": secret.hash}):
            raise SessionOver(self.clinic.organisation)
        await self.clinic.log(acting(session, "pages", request_id), "sign_in", f"access token of session {session.id} made")
        return secret

    async def list(self, principal: Principal, person: str | None = None) -> list[SignInSessionView]:
        """The open sessions of a person: one's own, or for an administrator anybody's."""
        if person not in {None, principal.person}:
            await self.clinic.require(principal, "manage sessions")
        now, idle = self.clinic.clock.now(), self.clinic.settings.session_idle
        found = await self.clinic.read(stored.of_person, person or principal.person, now)
        return [_view(each, principal) for each in found if not sessions.is_over(each, now, idle)]

    async def end(self, principal: Principal, session_id: str) -> None:
        """Ends a session: one's own, or for an administrator anybody's. Raises NotFound."""
        session = await self.clinic.read(stored.find, session_id) if sessions.is_id(session_id) else None
        if session is None or session.ended_at is not None:
            raise NotFound(NO_SESSION)
        own = session.person == principal.person
        if not own and not policy.may(principal, "manage sessions"):
            raise await self.clinic.hidden(principal, "end a session", message=NO_SESSION)
        why = "signed_out" if session.id == principal.session else "ended" if own else "administrator"
        ended = {"ended_at": self.clinic.clock.now(), "ended_why": why}
        if not await self.clinic.write(stored.change, session.id, ended):
            raise NotFound(NO_SESSION)
        action = "signed out" if why == "signed_out" else f"ended session {session.id} of {session.person}"
        await self.clinic.log(principal, "sign_in", action[:80])

    async def end_by_token(
        self, token: OneTime, issuer: str, provider_session: str | None, subject: str | None, request_id: str | None
    ) -> int | None:
        """Ends the sessions that an identity provider's logout token names. Returns how many; None if it was used before."""
        now = self.clinic.clock.now()
        ended = await self.clinic.write(stored.end_by_token, token, issuer, provider_session, subject, now)
        if ended is None:
            return None
        for each in ended:
            await self.clinic.log(acting(each, "api", request_id), "sign_in", "signed out by the identity provider")
        return len(ended)


def _view(session: StoredSession, principal: Principal) -> SignInSessionView:
    return SignInSessionView(
        id=session.id,
        person=session.person,
        role=session.role,
        method=session.method,
        created_at=session.created_at,
        authenticated_at=session.authenticated_at,
        seen_at=session.seen_at,
        expires_at=session.expires_at,
        current=session.id == principal.session,
    )

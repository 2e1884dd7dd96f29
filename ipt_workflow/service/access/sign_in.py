"""The verbs of signing in at an organisation's identity provider, and out again."""

import datetime as dt
import secrets
from collections.abc import Mapping

import msgspec

from ipt_workflow.access import id_tokens, oidc, people
from ipt_workflow.access.id_tokens import Claims
from ipt_workflow.access.launches import EhrSettings
from ipt_workflow.access.oidc import OidcSettings, SignInQuestion
from ipt_workflow.access.principal import NOBODY
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.errors import IptError, NotFound, ProviderUnusable, SignInRefused
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.providers import Providers
from ipt_workflow.service.access.sessions import ProviderIdentity, SignedIn, SignInSessions, acting
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import access as stored
from ipt_workflow.store import organisations, person_identities
from ipt_workflow.store.access import OneTime, StoredSession
from ipt_workflow.store.person_identities import Account
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.values.identities import is_identity

WAIT = dt.timedelta(minutes=10)  # for somebody to sign in at their provider
WAITING_MAX = 10_000  # sign-ins of an organisation that have begun
NO_SIGN_IN = "This organisation has no such sign-in. Ask your administrator for its address."
EXPIRED = "This sign-in was not begun in this browser, was used already, or took too long. Start it again."
NOT_KNOWN = "You are signed in at your identity provider, but have no account here. Ask your administrator for one."
NO_ROLE = "You have an account here, but no role that lets you in. Ask your administrator for one."


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an organisation's people sign in. With `passwords` they may also by a password and a second factor."""

    oidc: OidcSettings | None = None
    passwords: bool = False


class OrganisationSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of an organisation's settings that is about signing in. `launch` lists the EHRs that may open courses."""

    sign_in: SignInSettings = SignInSettings()
    launch: tuple[EhrSettings, ...] = ()


async def settings_of(clinic: Clinic) -> SignInSettings:
    """How the people of a clinic sign in."""
    return (await organisation_settings(clinic)).sign_in


class SignIn:
    """Lets the people of a clinic in. `address` is that of the clinic's own pages, without a slash at the end."""

    def __init__(self, clinic: Clinic, providers: Providers, address: str) -> None:
        self.clinic = clinic
        self.sessions = SignInSessions(clinic)
        self._providers = providers
        self._address = address
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    @property
    def callback(self) -> str:
        """Where a provider sends its answer."""
        return f"{self._address}/sign-in/callback"

    async def settings(self) -> SignInSettings:
        return await settings_of(self.clinic)

    async def _oidc(self) -> OidcSettings:
        found = (await self.settings()).oidc
        if found is None:
            raise NotFound(NO_SIGN_IN)
        return found

    async def private_key(self) -> str | None:
        """The private key by which this service proves to the provider who it is. None if it proves it otherwise."""
        settings = (await self.settings()).oidc
        return self._box.open(settings.secret) if settings and settings.authentication == "private_key_jwt" else None

    async def begin(self, browser: str, again: StoredSession | None = None) -> str:
        """Where the browser goes to sign in. `browser` is the secret of its cookie, which must come back with the answer.

        `again` is the session of somebody who proves again who they are. Raises NotFound, ProviderUnusable or SignInRefused.
        """
        settings = await self._oidc()
        found = await self._providers.description(settings.issuer)
        asked, state = oidc.question(browser, again.id if again else None), secrets.token_urlsafe(32)
        now = self.clinic.clock.now()
        kept = OneTime(kind="oidc", hash=oidc.digest(state), data=msgspec.json.encode(asked), created_at=now, expires_at=now + WAIT)
        await self.clinic.write(stored.keep_newest, kept, WAITING_MAX)
        return oidc.authorization_url(settings, found, asked, state, self.callback, self._max_age(asked))

    def _max_age(self, asked: SignInQuestion) -> dt.timedelta:
        return self.clinic.settings.reauthentication if asked.again else self.clinic.settings.session_length

    async def complete(
        self, query: Mapping[str, str], browser: str, current: StoredSession | None, request_id: str | None = None
    ) -> SignedIn:
        """Begins a session by a provider's answer. `current` is the session that the browser already has.

        Raises SignInRefused or ProviderUnusable. Once the answer belongs to a sign-in that this browser began, that is recorded.
        """
        settings, now = await self._oidc(), self.clinic.clock.now()
        kept = await self.clinic.write(stored.use, "oidc", oidc.digest(query.get("state", "")), now)
        asked = msgspec.json.decode(kept.data, type=SignInQuestion) if kept else None
        if asked is None or not secrets.compare_digest(asked.browser, oidc.digest(browser)):
            raise SignInRefused("state", EXPIRED)
        known: list[str] = []  # who it is, as far as that is known
        try:
            claims, token = await self._claims(settings, query, asked)
            known.append(f"{claims.subject} at {settings.issuer}")
            id_tokens.check_age(claims, asked, now, self._max_age(asked))
            id_tokens.check_strength(claims, settings)
            account = await self._account(settings, claims)
            known.append(account.person)
            before = _before(account.person, asked, current)
            roles = _roles(settings, claims, account)
        except IptError as error:
            await record_refusal(self.clinic, error, known[-1] if known else "unknown", request_id)
            raise
        identity = ProviderIdentity(
            issuer=settings.issuer,
            subject=claims.subject,
            session=claims.session,
            logout_hint=self._box.seal(token).encode(),
        )
        return await self.sessions.begin(
            account.person,
            roles,
            "oidc",
            authenticated_at=claims.authenticated_at,
            provider=identity,
            before=before,
            request_id=request_id,
        )

    async def _claims(self, settings: OidcSettings, query: Mapping[str, str], asked: SignInQuestion) -> tuple[Claims, str]:
        """Who signed in, and the ID token that says so."""
        found, now = await self._providers.description(settings.issuer), self.clinic.clock.now()
        code = oidc.code_of(query, found)
        secret = self._box.open(settings.secret)
        headers, body = oidc.token_request(settings, secret, found, asked, code, self.callback, now)
        status, content = await self._providers.caller.call("POST", found.token_endpoint, headers, body)
        if status != 200:
            raise SignInRefused("code", oidc.UNLIKE_OURS)
        token = id_tokens.id_token_of(content)
        claims = await self._providers.read(
            settings.issuer, lambda keys: id_tokens.read_id_token(token, keys, settings, asked.nonce, now)
        )
        return claims, token

    async def _account(self, settings: OidcSettings, claims: Claims) -> Account:
        """The person whom the provider names. One who is named by their id here is linked for the next time. Raises SignInRefused."""
        account = await self.clinic.read(person_identities.find, settings.issuer, claims.subject)
        if account is None and settings.person_claim:
            named, now = oidc.claim(claims.values, settings.person_claim), self.clinic.clock.now()
            if isinstance(named, str) and is_identity(named):
                account = await self.clinic.write(person_identities.link_first, settings.issuer, claims.subject, named, now)
        if account is None or account.status != "active":
            raise SignInRefused("unmapped", NOT_KNOWN, forbidden=True)
        return account

    async def sign_out(self, session: StoredSession, request_id: str | None = None) -> str | None:
        """Ends a session. Returns where the browser signs out at the provider too, if it can."""
        await self.sessions.end(acting(session, "pages", request_id), session.id)
        settings = (await self.settings()).oidc
        if settings is None or session.logout_hint is None or session.issuer != settings.issuer:
            return None
        try:
            found = await self._providers.description(settings.issuer)
            return oidc.logout_url(found, self._box.open(session.logout_hint.decode()), settings, f"{self._address}/signed-out")
        except IptError:  # the session here has ended, whatever the provider does
            return None

    async def back_channel(self, token: str, request_id: str | None = None) -> int:
        """Ends the sessions that a provider's logout token names. Returns how many. Raises SignInRefused or ProviderUnusable."""
        settings, now = await self._oidc(), self.clinic.clock.now()
        found = await self._providers.read(settings.issuer, lambda keys: id_tokens.read_logout_token(token, keys, settings, now))
        seen = OneTime(kind="logout", hash=found.id, created_at=now, expires_at=found.expires_at)
        ended = await self.sessions.end_by_token(seen, settings.issuer, found.session, found.subject, request_id)
        if ended is None:
            raise SignInRefused("replayed", "This logout token was used before.")
        return ended


def _before(person: str, asked: SignInQuestion, current: StoredSession | None) -> StoredSession | None:
    """The session of somebody who proved again who they are. Raises SignInRefused for somebody else."""
    if asked.again is None:
        return None
    if current is None or current.id != asked.again or current.person != person:
        raise SignInRefused("person", "You proved to be somebody else than the person who is signed in here.", forbidden=True)
    return current


def _roles(settings: OidcSettings, claims: Claims, account: Account) -> tuple[str, ...]:
    """The roles in which somebody may act: those that both their groups and this service give them. Raises SignInRefused."""
    by_groups = oidc.roles_of(claims.values, settings)
    roles = tuple(each for each in people.in_order(account.roles) if not settings.groups or each in by_groups)
    if not roles:
        raise SignInRefused("no_role", NO_ROLE, forbidden=True)
    return roles


async def organisation_settings(clinic: Clinic) -> OrganisationSettings:
    row = await clinic.database.read(organisations.find, clinic.organisation)
    return msgspec.json.decode(row.settings, type=OrganisationSettings) if row else OrganisationSettings()


async def record_refusal(clinic: Clinic, error: IptError, person: str, request_id: str | None) -> None:
    """Records that somebody was not let in, and which check said so."""
    why = error.why if isinstance(error, SignInRefused) else "provider" if isinstance(error, ProviderUnusable) else "settings"
    await clinic.committer.commit(
        LoggedEvent(
            organisation=clinic.organisation,
            id=new_id(),
            kind="sign_in",
            recorded_at=clinic.clock.now(),
            person=person[:128],
            role=NOBODY,
            via="pages",
            action="sign-in refused",
            rules=(why,),
            request_id=request_id,
        )
    )

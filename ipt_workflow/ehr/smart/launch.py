"""The verbs of SMART App Launch: an EHR opens a client's course, and the person is signed in by the EHR's identity."""

import datetime as dt
import secrets
from collections.abc import Mapping

import msgspec

from ipt_workflow.access import id_tokens, launches, oidc, people
from ipt_workflow.access.id_tokens import Claims
from ipt_workflow.access.launches import EhrSettings, LaunchContext, LaunchQuestion, SmartServer
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.errors import IptError, NotFound, ProviderUnusable, SignInRefused
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.access.providers import Providers
from ipt_workflow.service.access.sessions import ProviderIdentity, SignedIn, SignInSessions
from ipt_workflow.service.access.sign_in import EXPIRED, NO_ROLE, WAIT, WAITING_MAX, organisation_settings, record_refusal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access as stored
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import person_identities
from ipt_workflow.store.access import OneTime
from ipt_workflow.store.person_identities import Account
from ipt_workflow.values.identities import is_identity

EHR = "The EHR"
KEPT = dt.timedelta(minutes=5)
ACCEPT = {"accept": "application/json"}
NO_LAUNCH = "No EHR of this address may open courses here. Ask your administrator to add it."
NOT_KNOWN = "The EHR knows you, but you have no account here. Ask your administrator for one."


class SmartServers:
    """What EHRs say of themselves, by the URL of their FHIR server. Kept for a while, also that one could not be asked."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._known: dict[str, tuple[dt.datetime, SmartServer | str]] = {}

    async def of(self, iss: str) -> SmartServer:
        """Raises ProviderUnusable."""
        now = self._clock.now()
        at, found = self._known.get(iss, (None, ""))
        if at is None or at + KEPT <= now:
            found = await self._asked(iss)
            self._known[iss] = (now, found)
        if isinstance(found, str):
            raise ProviderUnusable(found)
        return found

    async def _asked(self, iss: str) -> SmartServer | str:
        """The configuration, or why there is none."""
        try:
            answer = await self._calls.ask(EHR, "GET", launches.configuration_url(iss), ACCEPT)
            if answer.status != 200:
                return f"{EHR} answered {answer.status} where its SMART configuration should be."
            return launches.server_of(answer.body, iss)
        except ProviderUnusable as error:
            return str(error)


class Launched(msgspec.Struct, frozen=True):
    """A session that a launch has begun, and our own id of the client in context, if they are known here."""

    signed_in: SignedIn
    client: str | None


class Launches:
    """Lets the EHRs of a clinic open courses. `address` is that of the clinic's own pages, without a slash at the end."""

    def __init__(self, clinic: Clinic, providers: Providers, servers: SmartServers, address: str) -> None:
        self.clinic = clinic
        self._providers = providers
        self._servers = servers
        self._sessions = SignInSessions(clinic)
        self._callback = f"{address}/launch/callback"
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    async def _ehr(self, iss: str) -> EhrSettings:
        """An EHR on the organisation's list. Raises NotFound for any other."""
        found = next((each for each in (await organisation_settings(self.clinic)).launch if launches.same(each.iss, iss)), None)
        if found is None:
            raise NotFound(NO_LAUNCH)
        return found

    async def private_keys(self) -> list[str]:
        """The private keys by which this service proves to EHRs who it is."""
        known = (await organisation_settings(self.clinic)).launch
        return [self._box.open(each.secret) for each in known if each.authentication == "private_key_jwt"]

    async def begin(self, iss: str, launch: str, browser: str) -> str:
        """Where the browser goes. `browser` is the secret of its cookie, which must come back with the answer.

        Raises NotFound, SignInRefused or ProviderUnusable.
        """
        ehr = await self._ehr(iss)
        if not launches.LAUNCH.fullmatch(launch):
            raise SignInRefused("launch", "The EHR sent no launch. Open the course from the EHR again.")
        server = await self._servers.of(ehr.iss)
        asked, state, now = oidc.question(browser), secrets.token_urlsafe(32), self.clinic.clock.now()
        data = msgspec.json.encode(LaunchQuestion(asked=asked, iss=ehr.iss))
        kept = OneTime(kind="smart", hash=oidc.digest(state), data=data, created_at=now, expires_at=now + WAIT)
        await self.clinic.write(stored.keep_newest, kept, WAITING_MAX)
        return launches.authorization_url(ehr, server, asked, state, self._callback, launch)

    async def complete(self, query: Mapping[str, str], browser: str, request_id: str | None = None) -> Launched:
        """Begins a session by the EHR's answer. Raises SignInRefused, ProviderUnusable or NotFound.

        Once the answer belongs to a launch that this browser began, a refusal is recorded.
        """
        kept = await self.clinic.write(stored.use, "smart", oidc.digest(query.get("state", "")), self.clinic.clock.now())
        question = msgspec.json.decode(kept.data, type=LaunchQuestion) if kept else None
        if question is None or not secrets.compare_digest(question.asked.browser, oidc.digest(browser)):
            raise SignInRefused("state", EXPIRED)
        known: list[str] = []  # who it is, as far as that is known
        try:
            ehr = await self._ehr(question.iss)
            server = await self._servers.of(ehr.iss)
            claims, context = await self._answer(ehr, server, question, query)
            issuer = server.issuer or ehr.iss
            known.append(f"{claims.subject} at {issuer}")
            account = await self._account(ehr, issuer, claims)
            known.append(account.person)
            roles = people.in_order(account.roles)
            if not roles:
                raise SignInRefused("no_role", NO_ROLE, forbidden=True)
        except IptError as error:
            await record_refusal(self.clinic, error, known[-1] if known else "unknown", request_id)
            raise
        identity = ProviderIdentity(issuer=issuer, subject=claims.subject, session=claims.session)
        signed_in = await self._sessions.begin(
            account.person,
            roles,
            "smart",
            authenticated_at=claims.authenticated_at,
            provider=identity,
            request_id=request_id,
        )
        return Launched(signed_in, await self.clinic.read(stored_courses.client_id, f"{ehr.client_prefix}{context.patient}"))

    async def _answer(
        self, ehr: EhrSettings, server: SmartServer, question: LaunchQuestion, query: Mapping[str, str]
    ) -> tuple[Claims, LaunchContext]:
        """Who signed in, and which client is in context."""
        settings, found, now = launches.settings_of(ehr, server), server.description(ehr.iss), self.clinic.clock.now()
        code = oidc.code_of(query, found)
        headers, body = oidc.token_request(settings, self._box.open(ehr.secret), found, question.asked, code, self._callback, now)
        answer = await self._providers.caller.call("POST", found.token_endpoint, headers, body)
        if answer[0] != 200:
            raise SignInRefused("code", oidc.UNLIKE_OURS)
        context = launches.context_of(answer[1])
        claims = await self._providers.read(
            settings.issuer, lambda keys: id_tokens.read_id_token(context.id_token, keys, settings, question.asked.nonce, now)
        )
        return claims, context

    async def _account(self, ehr: EhrSettings, issuer: str, claims: Claims) -> Account:
        """The person: by the identity that the EHR gives, by their FHIR resource, or where it `knows_persons` by its id.

        Raises SignInRefused.
        """
        account = await self.clinic.read(person_identities.find, issuer, claims.subject)
        user = launches.fhir_user(claims.values)
        if account is None and user is not None:
            account = await self.clinic.read(person_identities.find, ehr.iss, "/".join(user))
        if account is None and user is not None and ehr.knows_persons and is_identity(user[1]):
            now = self.clinic.clock.now()
            account = await self.clinic.write(person_identities.link_first, issuer, claims.subject, user[1], now)
        if account is None or account.status != "active":
            raise SignInRefused("unmapped", NOT_KNOWN, forbidden=True)
        return account

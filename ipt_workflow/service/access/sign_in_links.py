"""Links that sign a person in once, for rehearsals on one machine alone: IPT_DEVELOPMENT turns them on."""

import datetime as dt
import ipaddress
import secrets

import msgspec

from ipt_workflow.access import people
from ipt_workflow.access.tokens import digest
from ipt_workflow.errors import NotFound, SignInRefused
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.sessions import SignedIn, SignInSessions
from ipt_workflow.service.access.sign_in import NO_SIGN_IN
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access as stored
from ipt_workflow.store import person_identities
from ipt_workflow.store.access import OneTime

LIFE = dt.timedelta(hours=1)
MOST = 1000
NO_LINK = "This link was used already, or has expired."


class LinkTo(msgspec.Struct, frozen=True):
    """Whom a link signs in."""

    person: str


def are_on(settings: Settings) -> bool:
    """Whether links may be made: for a rehearsal, of a service that only this machine reaches."""
    return settings.development and (settings.host == "localhost" or is_this_machine(settings.host))


def is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class SignInLinks:
    """Makes and takes the links of a clinic. Raises NotFound where links are off."""

    def __init__(self, clinic: Clinic) -> None:
        if not are_on(clinic.settings):
            raise NotFound(NO_SIGN_IN)
        self.clinic = clinic

    async def make(self, person: str) -> str:
        """The path of a link that signs a person in. Raises NotFound or SignInRefused."""
        if await self.clinic.read(person_identities.of_person, person) is None:
            raise NotFound("There is no such person.")
        secret, now = secrets.token_urlsafe(32), self.clinic.clock.now()
        kept = OneTime(
            kind="link", hash=digest(secret), data=msgspec.json.encode(LinkTo(person)), created_at=now, expires_at=now + LIFE
        )
        if not await self.clinic.write(stored.keep, kept, MOST):
            raise SignInRefused("waiting", "Too many links wait to be used. Try again in an hour.")
        return f"/o/{self.clinic.organisation}/sign-in/link?key={secret}"

    async def person(self, secret: str) -> str:
        """Whom a link signs in, without using it. Raises SignInRefused."""
        return _person(await self.clinic.read(stored.look, ("link",), digest(secret), self.clinic.clock.now()))

    async def use(self, secret: str, request_id: str | None = None) -> SignedIn:
        """Begins a session by a link. Raises SignInRefused."""
        now = self.clinic.clock.now()
        person = _person(await self.clinic.write(stored.use, "link", digest(secret), now))
        account = await self.clinic.read(person_identities.of_person, person)
        roles = people.in_order(account.roles) if account and account.status == "active" else ()
        if not roles:
            raise SignInRefused("unmapped", "Nobody of this name may sign in any more.", forbidden=True)
        return await SignInSessions(self.clinic).begin(person, roles, "link", authenticated_at=now, request_id=request_id)


def _person(kept: OneTime | None) -> str:
    if kept is None:
        raise SignInRefused("link", NO_LINK)
    return msgspec.json.decode(kept.data, type=LinkTo).person

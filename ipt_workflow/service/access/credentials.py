"""Credentials: who sends a request, and to which organisation they belong."""

from ipt_workflow.access import tokens
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.sessions import of_access_token
from ipt_workflow.errors import Unauthenticated
from ipt_workflow.service.access import sessions
from ipt_workflow.service.access.tokens import check_valid, split
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store.lookups import StoredToken

KNOWN_MAX = 10_000  # tokens whose organisation a process remembers
NEEDED = "A valid token is needed. Send the header Authorization: Bearer ipt_…"
SUSPENDED = "The organisation of this token is suspended. Ask the operator of this installation."


class Credentials:
    """Identifies the bearers of tokens. A token's id tells its organisation, and never changes it."""

    def __init__(self, clinics: Clinics) -> None:
        self.clinics = clinics
        self._organisations: dict[str, Clinic] = {}

    def likely(self, text: str) -> Clinic | None:
        """The clinic of a token that was identified before, so that look-ups can begin. It proves nothing."""
        parsed = tokens.parse(text)
        return self._organisations.get(parsed[0]) if parsed else None

    async def identify(self, text: str, request_id: str | None = None) -> tuple[Clinic, Principal]:
        """The clinic and the bearer of a token, or the person in whose session a program acts. Raises Unauthenticated."""
        in_session = of_access_token(text)
        if in_session:
            of_session, session = await sessions.identify(self.clinics, in_session, by_access_token=True)
            return of_session, sessions.acting(session, "api", request_id)
        parsed = tokens.parse(text)
        row = await self.clinics.installation.tokens.get(tokens.digest(parsed[1])) if parsed else None
        if parsed is None or row is None or row.id != parsed[0]:
            raise Unauthenticated(NEEDED)
        now = self.clinics.installation.clock.now()
        check_valid(row, now)
        if row.organisation_status != "active":
            raise Unauthenticated(SUSPENDED)
        clinic = await self.clinics.of(row.organisation, row.organisation_version)
        if clinic is None:
            raise Unauthenticated(NEEDED)
        self._remember(row.id, clinic)
        self.clinics.installation.token_uses.note(row.organisation, row.id, now)
        return clinic, _bearer(row, request_id)

    def _remember(self, token_id: str, clinic: Clinic) -> None:
        if len(self._organisations) >= KNOWN_MAX:
            self._organisations.clear()
        self._organisations[token_id] = clinic


def _bearer(row: StoredToken, request_id: str | None) -> Principal:
    return Principal(
        person=row.subject,
        role=row.role,  # type: ignore[arg-type]  # the column holds roles only
        via="api",
        request_id=request_id,
        token=row.id,
        source=row.source,
        scopes=split(row.scopes),
    )

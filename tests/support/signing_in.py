"""A service with pages whose people sign in at a real identity provider; its people and settings."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access import oidc
from ipt_workflow.access.oidc import OidcSettings
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.sign_in import OrganisationSettings, SignInSettings
from ipt_workflow.store import organisations, people, person_identities
from ipt_workflow.store.people import PersonUpdate, StoredPerson
from ipt_workflow.web.app import application
from support import databases, http_server
from support.identity_provider import SECRET, Browser, IdentityProvider, free_port, provider

GROUPS = {"ipt-therapists": "therapist", "ipt-supervisors": "supervisor", "ipt-admins": "admin", "ipt-auditors": "auditor"}
STAFF = {
    "therapist-1": "therapist",
    "supervisor-1": "therapist supervisor",
    "admin-1": "admin",
    "therapist-9": "therapist",
    "gone-1": "therapist",
}
AT_PROVIDER = {  # who they are there
    "alice": {
        "groups": ["ipt-therapists", "other"],
        "staff": "therapist-1",
        "name": "Alice A",
        "realm_access": {"roles": ["ipt-therapists"]},
        "fhirUser": "Practitioner/therapist-1",
    },
    "frank": {"groups": [], "fhirUser": "https://ehr.example/fhir/Practitioner/P-77"},
    "bob": {"groups": ["ipt-supervisors", "ipt-therapists"], "staff": "supervisor-1", "name": "Bob B"},
    "ada": {"groups": ["ipt-admins"], "staff": "admin-1"},
    "eve": {"groups": ["nobody"], "staff": "therapist-9", "fhirUser": "Practitioner/therapist-9"},
    "gone": {"groups": ["ipt-therapists"], "staff": "gone-1", "fhirUser": "Practitioner/gone-1"},
    "stranger": {"groups": ["ipt-therapists"]},
    "impostor": {"groups": ["ipt-therapists"], "staff": "therapist-1"},
}
START = "/o/default/sign-in/start"
PRIVATE_KEY = oidc.new_private_key()
EHR_KEY = oidc.new_private_key("P-384")  # by which an EHR knows this service


class Site(msgspec.Struct, frozen=True):
    """A running service, its database, and the provider at which its people sign in."""

    url: str
    settings: Settings
    provider: IdentityProvider

    def browser(self) -> Browser:
        return Browser(self.url)

    def configure(self, **changed: Any) -> None:
        configure(self.settings, self.provider.issuer, **changed)

    def audit(self, since: int = 0) -> list[tuple[str, str, str, str | None]]:
        """Person, role, action and rules of the sign-ins in the audit log, after so many of them."""
        found = databases.select(
            self.settings, "SELECT person, role, action, rules FROM audit_event WHERE kind = 'sign_in' ORDER BY recorded_at, id"
        )
        return [tuple(row) for row in found][since:]

    def on_database(self, function: Callable[..., Any], *args: Any) -> Any:
        return on_database(self.settings, function, *args)


def on_database(settings: Settings, function: Callable[..., Any], *args: Any) -> Any:
    async def inside() -> Any:
        database = databases.opened(settings.database_url)
        try:
            return await database.write(function, *args, organisations=("default",))
        finally:
            await database.close()

    return asyncio.run(inside())


def configure(settings: Settings, issuer: str, *, organisation: str = "default", **changed: Any) -> None:
    """Writes how an organisation's people sign in."""
    known: dict[str, Any] = {
        "issuer": issuer,
        "client_id": "ipt",
        "secret": SECRET,
        "groups": GROUPS,
        "person_claim": "staff",
        **changed,
    }
    known["secret"] = SecretBox(()).seal(known["secret"])
    content = msgspec.json.encode(OrganisationSettings(sign_in=SignInSettings(oidc=msgspec.convert(known, OidcSettings))))

    def write(connection: sa.Connection) -> None:
        row = organisations.find(connection, organisation)
        assert row is not None
        changed = msgspec.structs.replace(row, settings=content, version=row.version + 1, title="North Clinic")
        assert organisations.change(connection, changed)

    on_database(settings, write)


def employ(settings: Settings, staff: dict[str, str] = STAFF) -> None:
    """Gives people their roles; whose id begins with `gone` has left."""
    now = dt.datetime.now(dt.UTC)

    def write(connection: sa.Connection) -> None:
        for person, roles in staff.items():
            people.insert(connection, "default", StoredPerson(id=person, name=person, roles=(), created_at=now))
            status = "left" if person.startswith("gone") else "active"
            people.change(connection, "default", person, PersonUpdate(roles=tuple(roles.split()), status=status))

    on_database(settings, write)


@contextmanager
def site(folder: Path, server: str | None = None) -> Iterator[Site]:
    """A service for rehearsals on this machine, and a provider for it."""
    settings = databases.empty(folder, server).model_copy(update={"development": True})
    port = free_port()
    employ(settings)
    configure(settings, f"http://127.0.0.1:{port}")
    with http_server.served(settings, application=application) as address:
        url = address.replace("127.0.0.1", "localhost")
        with provider(
            port,
            f"{url}/o/default/sign-in",
            AT_PROVIDER,
            {"keys": [*oidc.public_keys(PRIVATE_KEY)["keys"], *oidc.public_keys(EHR_KEY)["keys"]]},
        ) as running:
            yield Site(url, settings, running)


def link(settings: Settings, subject: str, person: str, issuer: str) -> None:
    on_database(settings, person_identities.link, "default", issuer, subject, person, dt.datetime.now(dt.UTC))

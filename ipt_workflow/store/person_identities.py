"""How identity providers name the people of a clinic."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import people
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

_person, _identity = tables.person, tables.person_identity


class Account(msgspec.Struct, frozen=True):
    """A person as they sign in."""

    person: str
    roles: tuple[str, ...]
    status: str


def find(connection: sa.Connection, organisation: str, issuer: str, subject: str) -> Account | None:
    """The person whom a provider names so."""
    joined = _identity.join(
        _person, sa.and_(_person.c.organisation == _identity.c.organisation, _person.c.id == _identity.c.person)
    )
    where = (_identity.c.organisation == organisation, _identity.c.issuer == issuer, _identity.c.subject == subject)
    return _account(connection, sa.select(_person.c.id, _person.c.roles, _person.c.status).select_from(joined).where(*where))


def of_person(connection: sa.Connection, organisation: str, person: str) -> Account | None:
    """A person by their id."""
    where = (_person.c.organisation == organisation, _person.c.id == person)
    return _account(connection, sa.select(_person.c.id, _person.c.roles, _person.c.status).where(*where))


def link(connection: sa.Connection, organisation: str, issuer: str, subject: str, person: str, now: dt.datetime) -> bool:
    """Notes that a provider names a person so. Returns False if it names somebody so already."""
    row = {"organisation": organisation, "issuer": issuer, "subject": subject, "person": person, "added_at": now}
    return bool(connection.execute(insert_or(connection, _identity).values(row).on_conflict_do_nothing()).rowcount == 1)


def link_first(
    connection: sa.Connection, organisation: str, issuer: str, subject: str, person: str, now: dt.datetime
) -> Account | None:
    """The person, linked to a subject, unless the provider already names them otherwise: who may choose a claim could else be anybody."""
    where = (_identity.c.organisation == organisation, _identity.c.issuer == issuer, _identity.c.person == person)
    people.lock(connection, organisation, person)  # of two subjects that claim to be one person at once, one is linked
    found = of_person(connection, organisation, person)
    if found is None or connection.execute(sa.select(_identity.c.subject).where(*where)).first() is not None:
        return None
    return found if link(connection, organisation, issuer, subject, person, now) else None


def unlink(connection: sa.Connection, organisation: str, issuer: str, subject: str) -> bool:
    """Forgets how a provider names a person. Returns False if it names nobody so."""
    where = (_identity.c.organisation == organisation, _identity.c.issuer == issuer, _identity.c.subject == subject)
    return connection.execute(sa.delete(_identity).where(*where)).rowcount == 1


def _account(connection: sa.Connection, statement: sa.Select[Any]) -> Account | None:
    row = connection.execute(statement).first()
    return Account(row[0], tuple(row[1].split()), row[2]) if row else None

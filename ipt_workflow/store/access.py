"""Sessions of people who signed in, and what may be used once."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import people, structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

_session, _one_time = tables.sign_in_session, tables.one_time


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session as requests are checked against it. `roles` are separated by spaces; `role` is the one acted in."""

    id: str
    organisation: str
    secret_hash: str
    access_hash: str | None = None
    person: str
    role: str | None
    roles: str
    method: str
    created_at: dt.datetime
    authenticated_at: dt.datetime | None
    seen_at: dt.datetime
    expires_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_why: str | None = None
    issuer: str | None = None
    subject: str | None = None
    provider_session: str | None = None
    logout_hint: bytes | None = None


class OneTime(msgspec.Struct, frozen=True, kw_only=True):
    """What may be used once. `hash` is the SHA-256 of its secret; `data` is JSON."""

    kind: str
    hash: str
    data: bytes = b"{}"
    created_at: dt.datetime
    expires_at: dt.datetime


def insert(connection: sa.Connection, organisation: str, session: StoredSession, forget_before: dt.datetime) -> bool:
    """Keeps a new session. Returns False, and keeps none, if its person has left or lost a role meanwhile.

    Removes the organisation's sessions that were over before a moment: the audit log says that they were.
    """
    if not _may_begin(connection, organisation, session):
        return False
    over = (_session.c.organisation == organisation, _session.c.expires_at < forget_before)
    connection.execute(sa.delete(_session).where(*over))
    connection.execute(sa.insert(_session), structs.row_of(organisation, session))
    return True


def _may_begin(connection: sa.Connection, organisation: str, session: StoredSession) -> bool:
    """Whether the person has the roles of a session. Until the transaction ends, they neither leave nor lose one."""
    known = people.lock(connection, organisation, session.person)
    return known is not None and known.status == "active" and set(session.roles.split()) <= set(known.roles)


def find(connection: sa.Connection, organisation: str, session_id: str) -> StoredSession | None:
    """A session of the organisation. Requests find theirs by `lookups.SESSIONS`."""
    where = (_session.c.organisation == organisation, _session.c.id == session_id)
    return structs.read_first(connection, _all().where(*where), StoredSession)


def of_person(connection: sa.Connection, organisation: str, person: str, now: dt.datetime) -> list[StoredSession]:
    """The sessions of a person that have not ended, the newest first."""
    where = _open(organisation, now, _session.c.person == person)
    statement = _all().where(*where).order_by(_session.c.created_at.desc(), _session.c.id)
    return structs.read_all(connection, statement, StoredSession)


def change(connection: sa.Connection, organisation: str, session_id: str, values: Mapping[str, Any]) -> bool:
    """Changes a session. Returns False if there is none or it has ended."""
    where = (_session.c.organisation == organisation, _session.c.id == session_id, _session.c.ended_at.is_(None))
    return connection.execute(sa.update(_session).where(*where).values(dict(values))).rowcount == 1


def replace(connection: sa.Connection, organisation: str, old: str, new: StoredSession, why: str) -> bool:
    """Ends a session, and keeps the one that follows it.

    Returns False, and keeps none, if the old one has ended meanwhile, or the person has left or lost a role.
    """
    if not _may_begin(connection, organisation, new) or not change(
        connection, organisation, old, {"ended_at": new.seen_at, "ended_why": why}
    ):
        return False
    connection.execute(sa.insert(_session), structs.row_of(organisation, new))
    return True


def end_roles(connection: sa.Connection, organisation: str, person: str, roles: Collection[str], at: dt.datetime) -> int:
    """Ends the sessions in which a person could act in one of these roles. Returns how many."""
    ours = structs.read_all(connection, _all().where(*_open(organisation, at, _session.c.person == person)), StoredSession)
    ended = [each.id for each in ours if set(each.roles.split()) & set(roles)]
    for each in ended:
        change(connection, organisation, each, {"ended_at": at, "ended_why": "role lost"})
    return len(ended)


def end_of_provider(
    connection: sa.Connection, organisation: str, issuer: str, provider_session: str | None, subject: str | None, at: dt.datetime
) -> list[StoredSession]:
    """Ends the sessions that an identity provider names: one by its own id, or all of a subject. Returns those that it ended.

    A session of the subject whose own id the provider has never told may be the one that it names, so it ends too.
    """
    assert provider_session or subject
    named = [_session.c.subject == subject] if subject else []
    if provider_session:
        untold = [_session.c.provider_session.is_(None)] if subject else []
        named.append(sa.or_(_session.c.provider_session == provider_session, *untold))
    return _end(connection, _open(organisation, at, _session.c.issuer == issuer, *named), at, "provider")


def end_by_token(
    connection: sa.Connection,
    organisation: str,
    token: OneTime,
    issuer: str,
    provider_session: str | None,
    subject: str | None,
    at: dt.datetime,
) -> list[StoredSession] | None:
    """Ends the sessions that an identity provider's logout token names. Returns None, and ends none, if it was used before."""
    if not first_time(connection, organisation, token):
        return None
    return end_of_provider(connection, organisation, issuer, provider_session, subject, at)


def _end(connection: sa.Connection, where: tuple[Any, ...], at: dt.datetime, why: str) -> list[StoredSession]:
    ended = structs.read_all(connection, _all().where(*where), StoredSession)
    connection.execute(sa.update(_session).where(*where).values(ended_at=at, ended_why=why))
    return ended


def _open(organisation: str, now: dt.datetime, *more: sa.ColumnElement[bool]) -> tuple[Any, ...]:
    return (_session.c.organisation == organisation, _session.c.ended_at.is_(None), _session.c.expires_at > now, *more)


def _all() -> sa.Select[tuple[object, ...]]:
    return sa.select(*structs.columns(_session, StoredSession))


def keep(connection: sa.Connection, organisation: str, secret: OneTime, most: int) -> bool:
    """Keeps what may be used once, and removes what has expired. Returns False if the organisation keeps `most` of the kind."""
    ours = (_one_time.c.organisation == organisation, _one_time.c.kind == secret.kind)
    connection.execute(sa.delete(_one_time).where(*ours, _one_time.c.expires_at <= secret.created_at))
    if connection.execute(sa.select(sa.func.count()).select_from(_one_time).where(*ours)).scalar_one() >= most:
        return False
    connection.execute(sa.insert(_one_time), structs.row_of(organisation, secret))
    return True


def keep_newest(connection: sa.Connection, organisation: str, secret: OneTime, most: int) -> None:
    """Keeps what anybody may begin, and use once. Where there are `most` of the kind, the oldest tenth makes room.

    So whoever begins many keeps nobody out who ends soon what they have begun.
    """
    if keep(connection, organisation, secret, most):
        return
    ours = (_one_time.c.organisation == organisation, _one_time.c.kind == secret.kind)
    oldest = sa.select(_one_time.c.hash).where(*ours).order_by(_one_time.c.created_at, _one_time.c.hash)
    leaving = connection.execute(oldest.limit(most // 10 + 1).with_for_update(skip_locked=True)).scalars().all()
    connection.execute(sa.delete(_one_time).where(*ours, _one_time.c.hash.in_(leaving)))
    connection.execute(sa.insert(_one_time), structs.row_of(organisation, secret))


def look(connection: sa.Connection, organisation: str, kinds: Collection[str], digest: str, now: dt.datetime) -> OneTime | None:
    """What may still be used, without using it."""
    where = (_one_time.c.organisation == organisation, _one_time.c.kind.in_(kinds), _one_time.c.hash == digest)
    statement = sa.select(*structs.columns(_one_time, OneTime)).where(*where, _one_time.c.expires_at > now)
    return structs.read_first(connection, statement, OneTime)


def use(connection: sa.Connection, organisation: str, kind: str, digest: str, now: dt.datetime) -> OneTime | None:
    """Uses what may be used once. None if there is nothing, it was used, or it has expired."""
    found = look(connection, organisation, (kind,), digest, now)
    where = (_one_time.c.organisation == organisation, _one_time.c.kind == kind, _one_time.c.hash == digest)
    return found if found and connection.execute(sa.delete(_one_time).where(*where)).rowcount == 1 else None


def first_time(connection: sa.Connection, organisation: str, seen: OneTime) -> bool:
    """Remembers the id of what others made until it expires. Returns False if it was seen before."""
    expired = (_one_time.c.organisation == organisation, _one_time.c.kind == seen.kind, _one_time.c.expires_at <= seen.created_at)
    connection.execute(sa.delete(_one_time).where(*expired))
    kept = insert_or(connection, _one_time).values(structs.row_of(organisation, seen)).on_conflict_do_nothing()
    return bool(connection.execute(kept).rowcount == 1)

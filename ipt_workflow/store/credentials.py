"""What people sign in with where no identity provider does it: passkeys, recovery codes, passwords with a second factor."""

import datetime as dt
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.errors import IptError
from ipt_workflow.store import access, people, structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

_one_time = tables.one_time
_passkey, _code, _password = tables.passkey, tables.recovery_code, tables.password


class StoredPasskey(msgspec.Struct, frozen=True, kw_only=True):
    """A passkey of a person. `user_handle` is the same in all of theirs."""

    id: str
    person: str
    user_handle: bytes
    credential: bytes
    sign_count: int
    synced: bool
    created_at: dt.datetime
    used_at: dt.datetime | None = None


class StoredPassword(msgspec.Struct, frozen=True, kw_only=True):
    """A password's hash, and the sealed secret of the second factor. `used_step` is that of the last code used."""

    person: str
    hash: str
    second_factor: str
    used_step: int
    changed_at: dt.datetime


class LinkOf(msgspec.Struct, frozen=True):
    """The data of a link with which a person enrols."""

    person: str


class PasskeyTaken(IptError):
    """The passkey is kept already, for the person or for somebody else; or another one of the person was added at the same time."""


def keep_link(connection: sa.Connection, organisation: str, link: access.OneTime, most: int) -> bool:
    """Keeps a link with which a person enrols, in the place of those before. Returns False if the organisation has `most` of them."""
    before = (_one_time.c.organisation == organisation, _one_time.c.kind == link.kind, _one_time.c.data == link.data)
    connection.execute(sa.delete(_one_time).where(*before))
    return access.keep(connection, organisation, link, most)


def enrol(
    connection: sa.Connection,
    organisation: str,
    link: str,
    person: str,
    codes: Sequence[str],
    at: dt.datetime,
    *,
    passkey: StoredPasskey | None = None,
    password: StoredPassword | None = None,
) -> bool:
    """Uses a link: keeps a passkey or a password, and new recovery codes. Returns False if the link is used or has expired.

    Raises PasskeyTaken, and then the link can still be used.
    """
    if access.use(connection, organisation, "enrolment", link, at) is None:
        return False
    if passkey:
        add_passkey(connection, organisation, passkey)
    if password:
        set_password(connection, organisation, password)
    replace_codes(connection, organisation, person, codes, at)
    return True


def find_passkey(connection: sa.Connection, organisation: str, passkey_id: str) -> StoredPasskey | None:
    where = (_passkey.c.organisation == organisation, _passkey.c.id == passkey_id)
    return structs.read_first(connection, sa.select(*structs.columns(_passkey, StoredPasskey)).where(*where), StoredPasskey)


def passkeys_of(connection: sa.Connection, organisation: str, person: str) -> list[StoredPasskey]:
    """A person's passkeys, the oldest first."""
    where = (_passkey.c.organisation == organisation, _passkey.c.person == person)
    statement = sa.select(*structs.columns(_passkey, StoredPasskey)).where(*where)
    return structs.read_all(connection, statement.order_by(_passkey.c.created_at, _passkey.c.id), StoredPasskey)


def add_passkey(connection: sa.Connection, organisation: str, new: StoredPasskey) -> None:
    """Raises PasskeyTaken."""
    people.lock(connection, organisation, new.person)  # of two that are added at once, one comes first
    if any(each.user_handle != new.user_handle for each in passkeys_of(connection, organisation, new.person)):
        raise PasskeyTaken
    kept = insert_or(connection, _passkey).values(structs.row_of(organisation, new)).on_conflict_do_nothing()
    if connection.execute(kept).rowcount != 1:
        raise PasskeyTaken


def note_passkey(
    connection: sa.Connection, organisation: str, used: StoredPasskey, sign_count: int, *, synced: bool, at: dt.datetime
) -> bool:
    """Notes a sign-in by a passkey. Returns False if another one came between, or the passkey is gone."""
    where = (_passkey.c.organisation == organisation, _passkey.c.id == used.id, _passkey.c.sign_count == used.sign_count)
    values = {"sign_count": sign_count, "synced": synced, "used_at": at}
    return connection.execute(sa.update(_passkey).where(*where).values(values)).rowcount == 1


def remove_passkey_but_last(connection: sa.Connection, organisation: str, person: str, passkey_id: str) -> bool:
    """Removes a passkey of a person who has another. Returns False if it is the last, or gone."""
    theirs = (_passkey.c.organisation == organisation, _passkey.c.person == person)
    known = connection.execute(sa.select(_passkey.c.id).where(*theirs).with_for_update()).all()
    return len(known) > 1 and connection.execute(sa.delete(_passkey).where(*theirs, _passkey.c.id == passkey_id)).rowcount == 1


def replace_codes(connection: sa.Connection, organisation: str, person: str, hashes: Sequence[str], at: dt.datetime) -> None:
    """Keeps new recovery codes. The old ones no longer work."""
    connection.execute(sa.delete(_code).where(_code.c.organisation == organisation, _code.c.person == person))
    rows = [{"organisation": organisation, "person": person, "hash": each, "created_at": at} for each in hashes]
    connection.execute(sa.insert(_code), rows)


def use_code(connection: sa.Connection, organisation: str, person: str, digest: str) -> bool:
    """Uses a recovery code. Returns False if the person has none such, or used it."""
    where = (_code.c.organisation == organisation, _code.c.person == person, _code.c.hash == digest)
    return connection.execute(sa.delete(_code).where(*where)).rowcount == 1


def codes_left(connection: sa.Connection, organisation: str, person: str) -> int:
    where = (_code.c.organisation == organisation, _code.c.person == person)
    return int(connection.execute(sa.select(sa.func.count()).select_from(_code).where(*where)).scalar_one())


def find_password(connection: sa.Connection, organisation: str, person: str) -> StoredPassword | None:
    where = (_password.c.organisation == organisation, _password.c.person == person)
    return structs.read_first(connection, sa.select(*structs.columns(_password, StoredPassword)).where(*where), StoredPassword)


def set_password(connection: sa.Connection, organisation: str, new: StoredPassword) -> None:
    """Keeps a person's password in the place of the one before."""
    row = structs.row_of(organisation, new)
    changed = {name: value for name, value in row.items() if name not in {"organisation", "person"}}
    keys = [_password.c.organisation, _password.c.person]
    connection.execute(insert_or(connection, _password).values(row).on_conflict_do_update(index_elements=keys, set_=changed))


def use_step(connection: sa.Connection, organisation: str, person: str, step: int, known: str) -> bool:
    """Uses the code of a step. Returns False if it or a later one was used, or the password is another one meanwhile."""
    where = (_password.c.organisation == organisation, _password.c.person == person, _password.c.hash == known)
    return connection.execute(sa.update(_password).where(*where, _password.c.used_step < step).values(used_step=step)).rowcount == 1


def remove_all(connection: sa.Connection, organisation: str, person: str, at: dt.datetime) -> None:
    """Removes everything with which a person can sign in here. Ends their sessions."""
    _remove(connection, organisation, person)
    for session in access.of_person(connection, organisation, person, at):
        access.change(connection, organisation, session.id, {"ended_at": at, "ended_why": "administrator"})


def end_roles(connection: sa.Connection, organisation: str, person: str, roles: Collection[str], _at: dt.datetime) -> int:
    """Removes the passkeys, codes, password and link of a person who loses every role of the staff. Returns how many passkeys."""
    return _remove(connection, organisation, person) if set(STAFF_ROLES) <= set(roles) else 0


def _remove(connection: sa.Connection, organisation: str, person: str) -> int:
    """Returns how many passkeys that were."""
    link = msgspec.json.encode(LinkOf(person))
    unused = (_one_time.c.organisation == organisation, _one_time.c.kind == "enrolment", _one_time.c.data == link)
    connection.execute(sa.delete(_one_time).where(*unused))
    for table in (_code, _password):
        connection.execute(sa.delete(table).where(table.c.organisation == organisation, table.c.person == person))
    where = (_passkey.c.organisation == organisation, _passkey.c.person == person)
    return connection.execute(sa.delete(_passkey).where(*where)).rowcount

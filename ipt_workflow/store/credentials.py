"""What people sign in with where no identity provider does it: passkeys, recovery codes, passwords with a second factor."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

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


def find_passkey(connection: sa.Connection, organisation: str, passkey_id: str) -> StoredPasskey | None:
    where = (_passkey.c.organisation == organisation, _passkey.c.id == passkey_id)
    return structs.read_first(connection, sa.select(*structs.columns(_passkey, StoredPasskey)).where(*where), StoredPasskey)


def passkeys_of(connection: sa.Connection, organisation: str, person: str) -> list[StoredPasskey]:
    """A person's passkeys, the oldest first."""
    where = (_passkey.c.organisation == organisation, _passkey.c.person == person)
    statement = sa.select(*structs.columns(_passkey, StoredPasskey)).where(*where)
    return structs.read_all(connection, statement.order_by(_passkey.c.created_at, _passkey.c.id), StoredPasskey)


def add_passkey(connection: sa.Connection, organisation: str, new: StoredPasskey) -> bool:
    """Keeps a passkey. Returns False if it is known already, or if the person's others have another user handle meanwhile."""
    if any(each.user_handle != new.user_handle for each in passkeys_of(connection, organisation, new.person)):
        return False
    kept = insert_or(connection, _passkey).values(structs.row_of(organisation, new)).on_conflict_do_nothing()
    return bool(connection.execute(kept).rowcount == 1)


def note_passkey(
    connection: sa.Connection, organisation: str, used: StoredPasskey, sign_count: int, *, synced: bool, at: dt.datetime
) -> bool:
    """Notes a sign-in by a passkey. Returns False if another one came between, or the passkey is gone."""
    where = (_passkey.c.organisation == organisation, _passkey.c.id == used.id, _passkey.c.sign_count == used.sign_count)
    values = {"sign_count": sign_count, "synced": synced, "used_at": at}
    return connection.execute(sa.update(_passkey).where(*where).values(values)).rowcount == 1


def remove_passkey(connection: sa.Connection, organisation: str, person: str, passkey_id: str) -> bool:
    where = (_passkey.c.organisation == organisation, _passkey.c.person == person, _passkey.c.id == passkey_id)
    return connection.execute(sa.delete(_passkey).where(*where)).rowcount == 1


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


def remove_all(connection: sa.Connection, organisation: str, person: str) -> int:
    """Removes everything with which a person can sign in here. Returns how many passkeys that were."""
    for each in (_code, _password):
        connection.execute(sa.delete(each).where(each.c.organisation == organisation, each.c.person == person))
    where = (_passkey.c.organisation == organisation, _passkey.c.person == person)
    return connection.execute(sa.delete(_passkey).where(*where)).rowcount

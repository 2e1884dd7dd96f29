"""The PostgreSQL roles beside the owner of the tables, which migrates and does nothing else: who may do what with a database.

They are made without a password. Roles belong to a whole server, so each installation on it has a prefix of its own.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema import grants

BOUND = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"  # by row-level security
UNBOUND = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS"


class DatabaseRole(msgspec.Struct, frozen=True):
    """A role: its attributes, the statements that grant it what it needs, and what it is for."""

    attributes: str
    granted: Callable[[str], Iterator[str]]
    purpose: str


ROLES: Mapping[str, DatabaseRole] = {
    "app": DatabaseRole(BOUND, grants.of_service, "`serve` and all commands but `db upgrade`"),
    "relay": DatabaseRole(BOUND, grants.of_relay, "`relay`, without the clients and what is sealed"),
    "verifier": DatabaseRole(BOUND, grants.of_reader, "`audit verify`, `audit export` and `db check`; reads alone"),
    "backup": DatabaseRole(UNBOUND, grants.of_reader, "`pg_dump`; reads every organisation"),
}


def establish(connection: sa.Connection, prefix: str) -> list[str]:
    """Creates the roles that are missing, and grants what each needs. Returns the statements that an administrator must run.

    Those are for roles that this connection's role may not create: only a superuser makes one that row-level security does not bind.
    """
    known = set(connection.exec_driver_sql("SELECT rolname FROM pg_roles").scalars())
    may = connection.exec_driver_sql(
        "SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).one()
    left: list[str] = []
    for kind, role in ROLES.items():
        name = f"{prefix}_{kind}"
        allowed = may.rolsuper or (may.rolcreaterole and (may.rolbypassrls or role.attributes == BOUND))
        if name not in known and not allowed:
            left += [_create(prefix, kind), *role.granted(name)]
            continue
        for statement in (*(() if name in known else (_create(prefix, kind),)), *role.granted(name)):
            connection.exec_driver_sql(statement)
    return left


def _create(prefix: str, kind: str) -> str:
    return f'CREATE ROLE "{prefix}_{kind}" {ROLES[kind].attributes};'

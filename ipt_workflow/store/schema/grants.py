"""What a role needs that serves a PostgreSQL database and does not own its tables: the statements that grant it.

The role can neither change what was recorded nor drop a guard, since only an owner may do that.
"""

from collections.abc import Iterator

from ipt_workflow.store.schema import guards, tables

SCHEMA = "public"
REVISION = "alembic_version"
NEVER_CHANGED = {*guards.APPEND_ONLY, "protocol"}
EMPTIED = {
    "delivery",
    "idempotency",
    "one_time",
    "outbox",
    "passkey",
    "password",
    "recovery_code",
    "sign_in_session",
    "source_key",
    "subscription_key",
}  # whose old rows the service removes


def of_service(role: str) -> Iterator[str]:
    """The statements for a role under which `serve`, `relay` and all commands but `db upgrade` run."""
    yield from _for_reading(role)
    for table in sorted(tables.METADATA.tables):
        yield f'GRANT {", ".join(_verbs(table))} ON {SCHEMA}.{table} TO "{role}";'


def of_reader(role: str) -> Iterator[str]:
    """The statements for a role under which `audit verify`, `audit export` and `db check` run."""
    yield from _for_reading(role)
    for table in sorted(tables.METADATA.tables):
        yield f'GRANT SELECT ON {SCHEMA}.{table} TO "{role}";'


def _for_reading(role: str) -> Iterator[str]:
    yield f'GRANT USAGE ON SCHEMA {SCHEMA} TO "{role}";'
    yield f'GRANT SELECT ON {SCHEMA}.{REVISION} TO "{role}";'


def _verbs(table: str) -> tuple[str, ...]:
    if table in NEVER_CHANGED:
        return ("SELECT", "INSERT")
    return ("SELECT", "INSERT", "UPDATE", *(("DELETE",) if table in EMPTIED else ()))

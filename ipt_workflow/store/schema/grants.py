"""What a role needs that uses a PostgreSQL database and does not own its tables: the statements that grant it.

No such role can change what was recorded or drop a guard, since only an owner may do that. Row-level security binds all but the backup's.
"""

from collections.abc import Iterator, Mapping

from ipt_workflow.store.schema import guards, row_security, tables

SCHEMA = "public"
REVISION = "alembic_version"
NEVER_CHANGED = {*guards.APPEND_ONLY, "protocol"}
EMPTIED = {
    "delivery",
    "draft",
    "idempotency",
    "log_outbox",
    "one_time",
    "outbox",
    "passkey",
    "password",
    "person_identity",
    "recovery_code",
    "sign_in_session",
    "source_key",
    "subscription_key",
    "system_assertion",
    "token",
}  # whose old rows the service removes
REAPED = (*guards.REAPABLE,)  # whose rows it removes if a guard lets it
# Of a relay in a process of its own. It has no use for who the clients are, nor for what is sealed.
RELAYED: Mapping[str, tuple[str, ...]] = {
    "attention_told": ("SELECT", "INSERT", "UPDATE"),
    "audit_event": ("SELECT", "INSERT"),
    "audit_subject": ("SELECT", "INSERT"),
    "client_mark": ("SELECT",),
    "course": ("SELECT",),
    "delivery": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "entry": ("SELECT",),
    "event": ("SELECT", "INSERT", "UPDATE"),
    "idempotency": ("SELECT", "DELETE"),
    "log_checkpoint": ("SELECT", "INSERT", "UPDATE"),
    "log_head": ("SELECT", "INSERT", "UPDATE"),
    "log_leaf": ("SELECT", "INSERT"),
    "log_origin": ("SELECT", "INSERT"),
    "log_outbox": ("SELECT", "INSERT", "DELETE"),
    "log_tile": ("SELECT", "INSERT", "UPDATE"),
    "organisation": ("SELECT",),
    "outbox": ("SELECT", "INSERT", "DELETE"),
    "protocol": ("SELECT", "INSERT"),
    "relay_task": ("SELECT", "INSERT", "UPDATE"),
    "sandbox_move": ("SELECT",),
    "subscription": ("SELECT", "UPDATE"),
    "subscription_key": ("SELECT",),
}


def of_service(role: str) -> Iterator[str]:
    """The statements for a role under which `serve`, `relay` and all commands but `db upgrade` run."""
    yield from _granted(role, {table: _verbs(table) for table in tables.METADATA.tables})
    for table in row_security.CREDENTIALS:
        yield f'GRANT EXECUTE ON FUNCTION {SCHEMA}.{row_security.function_of(table)}(text[]) TO "{role}";'


def of_relay(role: str) -> Iterator[str]:
    """The statements for a role under which `relay` runs."""
    return _granted(role, RELAYED)


def of_reader(role: str) -> Iterator[str]:
    """The statements for a role under which `audit verify`, `audit export`, `db check` or a backup runs."""
    return _granted(role, dict.fromkeys(tables.METADATA.tables, ("SELECT",)))


def _granted(role: str, verbs: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    yield f'GRANT USAGE ON SCHEMA {SCHEMA} TO "{role}";'
    yield f'GRANT SELECT ON {SCHEMA}.{REVISION} TO "{role}";'
    for table in sorted(verbs):
        yield f'GRANT {", ".join(verbs[table])} ON {SCHEMA}.{table} TO "{role}";'


def _verbs(table: str) -> tuple[str, ...]:
    if table in NEVER_CHANGED:
        return ("SELECT", "INSERT", *(("DELETE",) if table in REAPED else ()))
    return ("SELECT", "INSERT", "UPDATE", *(("DELETE",) if table in EMPTIED else ()))

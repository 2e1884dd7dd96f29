"""Guard triggers: the database itself refuses to change or remove what was recorded.

Alembic's batch mode drops triggers silently. So migrations create them again, and a test lists them at the newest revision.
"""

from collections.abc import Iterator

from ipt_workflow.access.retention import REAPED
from ipt_workflow.store.schema import tables

APPEND_ONLY = (
    "entry",
    "audit_event",
    "audit_subject",
    "group_facilitator",
    "group_member",
    "group_session",
    "sandbox_move",
    "emergency_access",
    "emergency_end",
    "emergency_review",
    "unmasking",
    "log_leaf",
    "log_origin",
    "erasure",
    "disclosure",
    "retention_decision",
    "audit_reaping",
)
ENDING = (
    "verification",
    "audit_export",
    "verification_round",
    "client_mark",
    "retention_policy",
)  # a row changes until it has ended
ERASABLE = {"entry_data": "guard_erasure", "access_text": "guard_access_text"}  # with PostgreSQL's function for each
# A row only grows: the condition, for each database, under which an update is refused.
GROWING = {
    "log_tile": {
        "sqlite": "substr(NEW.hashes, 1, length(OLD.hashes)) IS NOT OLD.hashes",
        "postgresql": "substring(NEW.hashes FROM 1 FOR length(OLD.hashes)) IS DISTINCT FROM OLD.hashes",
    },
    "log_head": dict.fromkeys(("sqlite", "postgresql"), "NEW.size < OLD.size"),
    "log_checkpoint": dict.fromkeys(
        ("sqlite", "postgresql"), "NEW.origin <> OLD.origin OR NEW.root <> OLD.root OR NEW.note <> OLD.note"
    ),
}
KEYS = {
    "entry": ("organisation", "course_id", "seq"),
    "audit_event": ("organisation", "id"),
    "audit_subject": ("organisation", "event_id", "course_id"),
    "entry_data": ("organisation", "course_id", "seq"),
    "group_facilitator": ("organisation", "group_id", "seq", "person"),
    "group_member": ("organisation", "course_id", "nth"),
    "group_session": ("organisation", "id"),
    "sandbox_move": ("organisation", "nth"),
    "emergency_access": ("organisation", "id"),
    "emergency_end": ("organisation", "access_id"),
    "emergency_review": ("organisation", "access_id"),
    "unmasking": ("organisation", "id"),
    "erasure": ("organisation", "id"),
    "disclosure": ("organisation", "id"),
    "access_text": ("organisation", "id", "kind"),
    "verification": ("organisation", "id"),
    "audit_export": ("organisation", "id"),
    "verification_round": ("organisation", "nth"),
    "log_leaf": ("organisation", "position"),
    "log_origin": ("organisation", "nth"),
    "log_tile": ("organisation", "level", "number"),
    "log_head": ("organisation",),
    "log_checkpoint": ("organisation", "size"),
    "client_mark": ("organisation", "id"),
    "retention_policy": ("organisation", "id"),
    "retention_decision": ("organisation", "id"),
    "audit_reaping": ("organisation", "kind", "month"),
}
ALSO_UNIQUE = {
    "entry": ("organisation", "id"),
    "group_member": ("organisation", "group_id", "seq"),
    "group_session": ("organisation", "group_id", "seq"),
}
_OF_KINDS = " OR ".join(f"(r.kind = '{kind}' AND e.kind IN ({', '.join(map(repr, records))}))" for kind, records in REAPED.items())
_REAPED = (
    "SELECT 1 FROM audit_reaping r JOIN audit_event e ON e.organisation = r.organisation AND e.recorded_at >= r.starts_at"
    f" AND e.recorded_at < r.ends_at AND ({_OF_KINDS}) WHERE e.organisation = OLD.organisation AND e.id = OLD."
)
# Append-only tables whose rows may be deleted if a row of `audit_reaping` is about them, each with the question whether one is.
REAPABLE = {"audit_event": f"{_REAPED}id", "audit_subject": f"{_REAPED}event_id"}


def sqlite() -> Iterator[tuple[str, str]]:
    """Names and statements. Inserts are guarded too, because INSERT OR REPLACE removes rows without firing BEFORE DELETE.

    It removes every row with the same value under a unique index, or with the same hidden rowid. UPDATE OR REPLACE of the rowid can too.
    """
    for table in APPEND_ONLY:
        yield _sqlite(table, "UPDATE", "1", f"{table} is append-only")
    for table in ENDING:
        yield _sqlite(table, "UPDATE", f"OLD.ended_at IS NOT NULL OR {_moves(table, 'IS NOT', 'rowid')}", f"{table} has ended")
    for table, shrinks in GROWING.items():
        yield _sqlite(table, "UPDATE", f"{shrinks['sqlite']} OR {_moves(table, 'IS NOT', 'rowid')}", f"{table} only grows")
    for table in (*APPEND_ONLY, *ERASABLE, *ENDING, *GROWING):
        unless = f"NOT EXISTS ({REAPABLE[table]})" if table in REAPABLE else "1"
        yield _sqlite(table, "DELETE", unless, f"{table} is append-only")
        yield _sqlite(table, "INSERT", " OR ".join(_present(table)), f"{table} has this row already")
    for table in ERASABLE:
        moves = _moves(table, "IS NOT", "rowid")
        yield _sqlite(table, "UPDATE", f"NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR {moves}", f"{table} can only be erased")


def _moves(table: str, differs: str, *more: str) -> str:
    """The condition under which an update gives a row another key."""
    return " OR ".join(f"NEW.{column} {differs} OLD.{column}" for column in (*KEYS[table], *more))


def _present(table: str) -> Iterator[str]:
    """Conditions under which a new row would replace an existing one, one for each unique key."""
    for key in (KEYS[table], ALSO_UNIQUE.get(table), ("rowid",)):
        if key:
            same = " AND ".join(f"{column} = NEW.{column}" for column in key)
            yield f"EXISTS (SELECT 1 FROM {table} WHERE {same})"


def _sqlite(table: str, verb: str, when: str, message: str) -> tuple[str, str]:
    name = f"guard_{table}_{verb.lower()}"
    return name, f"CREATE TRIGGER {name} BEFORE {verb} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def postgresql() -> Iterator[tuple[str, str]]:
    yield (
        "guard_append_only",
        "CREATE FUNCTION guard_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$",
    )
    for table, function in ERASABLE.items():
        moves = _moves(table, "IS DISTINCT FROM")
        yield (
            function,
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR {moves} THEN "
            f"RAISE EXCEPTION '{table} can only be erased' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
        )
    for table in ENDING:
        yield (
            f"guard_{table}",
            f"CREATE FUNCTION guard_{table}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF OLD.ended_at IS NOT NULL OR {_moves(table, 'IS DISTINCT FROM')} THEN "
            f"RAISE EXCEPTION '{table} has ended' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
        )
    for table, shrinks in GROWING.items():
        yield (
            f"guard_{table}",
            f"CREATE FUNCTION guard_{table}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {shrinks['postgresql']} OR {_moves(table, 'IS DISTINCT FROM')} THEN "
            f"RAISE EXCEPTION '{table} only grows' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
        )
    for table, reaped in REAPABLE.items():
        yield (
            f"guard_reaping_of_{table}",
            f"CREATE FUNCTION guard_reaping_of_{table}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NOT EXISTS ({reaped}) THEN "
            f"RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $$",
        )
        name = f"guard_{table}_reaped"
        yield name, f"CREATE TRIGGER {name} BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_reaping_of_{table}()"
    for table in (*APPEND_ONLY, *ERASABLE, *ENDING, *GROWING):
        verbs = "UPDATE" if table in REAPABLE else "UPDATE OR DELETE" if table in APPEND_ONLY else "DELETE"
        name = f"guard_{table}_rows"
        yield name, f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH ROW EXECUTE FUNCTION guard_append_only()"
        name = f"guard_{table}_truncate"
        yield name, f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()"
    for table, function in ERASABLE.items():
        name = f"guard_{table}_erasure"
        yield name, f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
    for table, what in (*dict.fromkeys(ENDING, "ended").items(), *dict.fromkeys(GROWING, "grows").items()):
        name = f"guard_{table}_{what}"
        yield name, f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_{table}()"


def statements(dialect: str) -> Iterator[tuple[str, str]]:
    """Every guard of a database, as (name, statement)."""
    return sqlite() if dialect == "sqlite" else postgresql()


assert set(KEYS) <= set(tables.METADATA.tables)

"""Row-level security on PostgreSQL: a connection sees and writes the rows of the organisations that it is bound to, and no others.

The condition reads the setting in a sub-select, which hides its value from the planner. Without it, a statement that was planned before
the setting was set expects one row, and keeps a plan that is hundreds of times slower (`docs/decisions/0029`).

A credential is found before anybody knows its organisation. A function of its table finds it by its digest, for whoever may
execute that.

`db upgrade` establishes all this after its migrations, for every table that has an organisation. So a new table cannot be forgotten. In a
database of a version before, whose processes may still run and say nothing of organisations, the next `db upgrade` switches it on.
"""

from collections.abc import Iterable, Iterator, Mapping

import sqlalchemy as sa

from ipt_workflow.store.schema import tables

SETTING = "ipt.organisations"
SEPARATOR = ","  # no id of an organisation holds it
BOUND = "bound"  # the policy for everybody, the owner of the tables included
CONDITION = f"organisation = ANY ((SELECT string_to_array(NULLIF(current_setting('{SETTING}', true), ''), '{SEPARATOR}'))::text[])"
RESOLVED = "resolved"  # the policy under which the function reads credentials, as their owner
RESOLVING = "(SELECT current_setting('ipt.resolving', true)) = 'on'"
# Both conditions as PostgreSQL shows them.
SHOWN = (
    f"((organisation)::text = ANY (( SELECT string_to_array(NULLIF(current_setting('{SETTING}'::text, true), ''::text),"
    f" '{SEPARATOR}'::text) AS string_to_array)::text[]))"
)
SHOWN_RESOLVING = "(( SELECT current_setting('ipt.resolving'::text, true) AS current_setting) = 'on'::text)"
# The tables without it, each with the reason.
OPEN: Mapping[str, str] = {
    "alembic_version": "the revision of the database, which every start reads first",
    "authentication_failure": "who fails to sign in belongs to no organisation",
    "organisation": "a connection is bound to organisations that were found here; it holds nothing about clients or staff",
    "sandbox_move": "the mark and the clock of a whole database, read at the start",
}
PROTECTED = tuple(sorted(name for name, table in tables.METADATA.tables.items() if "organisation" in table.c and name not in OPEN))
# Tables of credentials, each with the column by which one is found: a digest, or a random id.
CREDENTIALS: Mapping[str, str] = {"token": "secret_hash", "sign_in_session": "id"}

_POLICIES = (
    "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, p.policyname, p.qual, p.with_check, p.cmd, p.permissive, p.roles::text"
    " FROM pg_class c LEFT JOIN pg_policies p ON p.schemaname = current_schema() AND p.tablename = c.relname"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"
)
_FUNCTIONS = "SELECT proname, prosrc, prosecdef, proconfig FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
_PATH = ["search_path=pg_catalog, pg_temp"]
_BODY = (
    "BEGIN PERFORM set_config('ipt.resolving', 'on', true);"
    " RETURN QUERY SELECT * FROM {rows} WHERE {digest} = ANY (digests);"
    " PERFORM set_config('ipt.resolving', 'off', true); END"
)


def function_of(table: str) -> str:
    """The function that finds credentials in a table."""
    return f"{table}_by_digest"


def together(organisations: Iterable[str]) -> str:
    """Organisations as the setting holds them. Raises ValueError for an id that would read as several."""
    ids = sorted(organisations)
    if any(SEPARATOR in each or not each for each in ids):
        raise ValueError("The id of an organisation is empty or holds a comma.")
    return SEPARATOR.join(ids)


def bind_all(connection: sa.Connection) -> None:
    """Binds a connection to every organisation, until its transaction ends: for what is done to a database as a whole."""
    if connection.dialect.name == "postgresql" and sa.inspect(connection).has_table(tables.organisation.name):
        ids = connection.execute(sa.select(tables.organisation.c.id)).scalars()
        connection.execute(sa.select(sa.func.set_config(SETTING, together(ids), True)))


def establish(connection: sa.Connection, *, switch_on: bool = True) -> None:
    """Protects what is not protected yet. Only the owner of the tables may. Without `switch_on` the policies bind nobody yet."""
    for _, statement in [*_incomplete(connection), *(_switched_off(connection) if switch_on else ())]:
        connection.exec_driver_sql(statement)


def faults(connection: sa.Connection) -> list[str]:
    """What is not protected as it must be, each in a line."""
    names = dict.fromkeys(name for name, _ in [*_switched_off(connection), *_incomplete(connection)])
    return [f"row security: {name} is not protected; run ipt-workflow db upgrade" for name in names]


def _switched_off(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """The statements that make the policies bind everybody, each with the name of the table."""
    if connection.dialect.name != "postgresql":
        return
    on = {row[0]: (row[1], row[2]) for row in connection.exec_driver_sql(_POLICIES)}
    for table in PROTECTED:
        for switch, done in zip(("ENABLE", "FORCE"), on.get(table, (False, False)), strict=True):
            if not done:
                yield table, f"ALTER TABLE {table} {switch} ROW LEVEL SECURITY"


def _incomplete(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """The statements that make policies and functions that are missing or differ, each with the name of the table or function."""
    if connection.dialect.name != "postgresql":
        return
    policies = {(row[0], row[3]): tuple(row[4:]) for row in connection.exec_driver_sql(_POLICIES) if row[3]}
    for table in PROTECTED:
        if policies.get((table, BOUND)) != (SHOWN, SHOWN, "ALL", "PERMISSIVE", "{public}"):
            yield from _policy(table, BOUND, f"USING ({CONDITION}) WITH CHECK ({CONDITION})", policies)
    functions = {row.proname: row for row in connection.exec_driver_sql(_FUNCTIONS)}
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for table, digest in CREDENTIALS.items():
        if policies.get((table, RESOLVED), ())[:4] != (SHOWN_RESOLVING, None, "SELECT", "PERMISSIVE"):
            yield from _policy(table, RESOLVED, f"FOR SELECT TO CURRENT_USER USING ({RESOLVING})", policies)
        name, body = function_of(table), _BODY.format(rows=f"{schema}.{table}", digest=digest)
        known = functions.get(name)
        if known is None or (known.prosrc, known.prosecdef, known.proconfig) != (body, True, _PATH):
            yield (
                name,
                (
                    f"CREATE OR REPLACE FUNCTION {name}(digests text[]) RETURNS SETOF {table} LANGUAGE plpgsql STABLE SECURITY DEFINER"
                    f" SET search_path = pg_catalog, pg_temp ROWS 1 AS $${body}$$"
                ),
            )
            yield name, f"REVOKE ALL ON FUNCTION {name}(text[]) FROM PUBLIC"


def _policy(table: str, name: str, policy: str, known: Mapping[tuple[str, str], object]) -> Iterator[tuple[str, str]]:
    if (table, name) in known:
        yield table, f"DROP POLICY {name} ON {table}"
    yield table, f"CREATE POLICY {name} ON {table} {policy}"

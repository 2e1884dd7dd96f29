"""Row-level security on PostgreSQL: a connection sees and writes the rows of the organisations that it was told, and no others.

The condition reads the setting in a sub-select, which hides its value from the planner. Without it, a statement that was planned before
the setting was told expects one row, and keeps a plan that is hundreds of times slower (`docs/decisions/0029`).

`db upgrade` establishes this after its migrations, for every table that has an organisation. So a new table cannot be forgotten.
"""

from collections.abc import Iterable, Iterator, Mapping

import sqlalchemy as sa

from ipt_workflow.store.schema import tables

SETTING = "ipt.organisations"
POLICY = "told"
SEPARATOR = ","  # no id of an organisation holds it
CONDITION = f"organisation = ANY ((SELECT string_to_array(NULLIF(current_setting('{SETTING}', true), ''), '{SEPARATOR}'))::text[])"
# The condition as PostgreSQL shows it.
SHOWN = (
    f"((organisation)::text = ANY (( SELECT string_to_array(NULLIF(current_setting('{SETTING}'::text, true), ''::text),"
    f" '{SEPARATOR}'::text) AS string_to_array)::text[]))"
)
# The tables without it, each with the reason.
OPEN: Mapping[str, str] = {
    "alembic_version": "the revision of the database, which every start reads first",
    "authentication_failure": "who fails to sign in belongs to no organisation",
    "organisation": "a connection is told organisations that were found here; it holds nothing about clients or staff",
    "sandbox_move": "the mark and the clock of a whole database, read at the start",
}
PROTECTED = tuple(sorted(name for name, table in tables.METADATA.tables.items() if "organisation" in table.c and name not in OPEN))


def together(organisations: Iterable[str]) -> str:
    """Organisations as the setting holds them. Raises ValueError for an id that would read as several."""
    ids = sorted(organisations)
    if any(SEPARATOR in each or not each for each in ids):
        raise ValueError("The id of an organisation is empty or holds a comma.")
    return SEPARATOR.join(ids)


def tell_all(connection: sa.Connection) -> None:
    """Tells a connection every organisation, until its transaction ends: for what is done to a database as a whole."""
    if connection.dialect.name == "postgresql" and sa.inspect(connection).has_table(tables.organisation.name):
        ids = connection.execute(sa.select(tables.organisation.c.id)).scalars()
        connection.execute(sa.select(sa.func.set_config(SETTING, together(ids), True)))


def establish(connection: sa.Connection) -> None:
    """Protects every table that is not protected yet. Only the owner of the tables may."""
    if connection.dialect.name == "postgresql":
        for statement in _missing(connection):
            connection.exec_driver_sql(statement)


def faults(connection: sa.Connection) -> list[str]:
    """The tables that are not protected as they must be, each in a line."""
    if connection.dialect.name != "postgresql":
        return []
    unprotected = sorted({statement.split(" ON ")[-1].split()[0].removeprefix("ALTER TABLE ") for statement in _missing(connection)})
    return [f"row security: table {name} is not protected; run ipt-workflow db upgrade" for name in unprotected]


def _missing(connection: sa.Connection) -> Iterator[str]:
    """The statements that protect what is not protected."""
    found = {
        row.table: row
        for row in connection.exec_driver_sql(
            "SELECT c.relname AS table, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, p.qual, p.with_check, p.cmd,"
            " p.permissive, p.roles::text AS roles FROM pg_class c LEFT JOIN pg_policies p"
            f" ON p.schemaname = current_schema() AND p.tablename = c.relname AND p.policyname = '{POLICY}'"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"
        )
    }
    for table in PROTECTED:
        row = found[table]
        if (row.qual, row.with_check, row.cmd, row.permissive, row.roles) != (SHOWN, SHOWN, "ALL", "PERMISSIVE", "{public}"):
            if row.qual is not None:
                yield f"DROP POLICY {POLICY} ON {table}"
            yield f"CREATE POLICY {POLICY} ON {table} USING ({CONDITION}) WITH CHECK ({CONDITION})"
        if not row.enabled:
            yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        if not row.forced:
            yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"

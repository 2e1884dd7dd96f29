"""Row-level security on PostgreSQL: who was told nothing sees nothing, every policy has the form that keeps plans fast, and credentials are
found by their digests alone."""

import asyncio
import json

import asyncpg
import pytest
from alembic import command
from support import databases, service_walk
from support.busy_day import a_busy_day
from support.http_client import OPERATOR

from ipt_workflow.service import check
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.lookups import COURSES
from ipt_workflow.store.schema import grants, migrate, roles, row_security, tables

POLICIES = "SELECT tablename, policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
BIND = "SELECT set_config('ipt.organisations', $1, false)"
# The condition as examples on the web have it: the planner sees the value.
PLAIN = "organisation = ANY (string_to_array(current_setting('ipt.organisations', true), ','))"


@pytest.fixture(scope="module")
def filled(postgres, tmp_path_factory):
    """A database in which most tables have rows, for its owner, whom row-level security binds too."""
    settings = databases.empty(tmp_path_factory.mktemp("rows"), postgres).model_copy(update={"development": True})
    asyncio.run(a_busy_day(settings))
    return settings


@pytest.fixture(scope="module")
def app(filled):
    return databases.as_role(filled, grants.of_service)


def connected(settings, test):
    """Runs a test with a connection of the bare driver that was told nothing, and rolls back."""

    async def inside():
        connection = await asyncpg.connect(settings.database_url)
        try:
            async with asyncio.timeout(30):
                transaction = connection.transaction()
                await transaction.start()
                found = await test(connection)
                await transaction.rollback()
                return found
        finally:
            await connection.close()

    return asyncio.run(inside())


async def rows_of(connection) -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in row_security.PROTECTED}


def test_raw_sql_as_the_app_role_without_a_setting_sees_no_row_of_any_table(filled, app):
    async def bound(connection):
        await connection.execute(BIND.replace("$1", "'default'"))
        return await rows_of(connection)

    there = connected(filled, bound)
    assert {"client", "course", "entry", "entry_data", "audit_event", "notice", "token", "event"} <= {
        table for table, count in there.items() if count
    }
    for settings in (app, filled):  # the owner is bound as well
        assert connected(settings, rows_of) == dict.fromkeys(row_security.PROTECTED, 0)
    assert connected(app, bound) == there


@pytest.mark.parametrize("setting", ("", ",", "other", "default ", "DEFAULT", "def,ault", "%", "default,"))
def test_a_setting_that_names_others_shows_nothing(app, setting):
    async def test(connection):
        await connection.fetch(BIND, setting)
        return sum((await rows_of(connection)).values())

    found = connected(app, test)
    assert (found > 0) == (setting == "default,")  # which names the organisation, and one with an empty id


def test_nobody_writes_a_row_of_an_organisation_that_was_not_told(app):
    async def test(connection):
        await connection.fetch(BIND, "other")
        assert await connection.execute("UPDATE course SET version = version + 1") == "UPDATE 0"
        assert await connection.execute("DELETE FROM delivery") == "DELETE 0"
        for statement in (
            "INSERT INTO client (organisation, id, ref, created_at) VALUES ('default', 'c', 'R', now())",
            "INSERT INTO client (organisation, id, ref, created_at) VALUES ('default', 'c', 'R', now()) ON CONFLICT DO NOTHING",
            "INSERT INTO idempotency VALUES ('default', 's', 'b', 'c', 1, 1, now())",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                async with connection.transaction():
                    await connection.execute(statement)
        await connection.fetch(BIND, "default")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with connection.transaction():
                await connection.execute("UPDATE course SET organisation = 'other'")

    connected(app, test)


def test_every_table_is_protected_or_named_with_its_reason(filled):
    async def test(connection):
        return await connection.fetch(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )

    found = {name: (enabled, forced) for name, enabled, forced in connected(filled, test)}
    assert {name for name, switched in found.items() if switched == (True, True)} == set(row_security.PROTECTED)
    assert {name for name, switched in found.items() if switched == (False, False)} == set(row_security.OPEN)
    assert set(found) == {*tables.METADATA.tables, "alembic_version"}


def test_every_policy_has_the_form_whose_value_the_planner_cannot_see(filled):
    """Any other form makes statements that were planned before the setting was told hundreds of times slower."""
    found = [tuple(row) for row in connected(filled, lambda connection: connection.fetch(POLICIES))]
    bound = [
        (table, "bound", "PERMISSIVE", ["public"], "ALL", row_security.SHOWN, row_security.SHOWN)
        for table in row_security.PROTECTED
    ]
    resolved = [
        (table, "resolved", "PERMISSIVE", [databases.OWNER], "SELECT", row_security.SHOWN_RESOLVING, None)
        for table in row_security.CREDENTIALS
    ]
    assert found == sorted([*bound, *resolved], key=lambda row: row[:2])
    for shown in (row_security.SHOWN, row_security.SHOWN_RESOLVING):
        assert "( SELECT " in shown.partition("current_setting")[0]


# Plans


MANY = (
    "CREATE TABLE course_of_many (LIKE course INCLUDING ALL)",
    "CREATE TABLE client_of_many (LIKE client INCLUDING ALL)",
    "INSERT INTO client_of_many SELECT o, n::text, o || n, now() FROM generate_series(1, 4000) n, (VALUES ('a'), ('b')) AS os (o)",
    (
        "INSERT INTO course_of_many (organisation, id, client_id, protocol, protocol_version, protocol_digest, state, active_acute, version,"
        " head, last_recorded_at, snapshot) SELECT o, n::text, n::text, 'ipt', 2, 'd', 'initial', true, 1, 'h', now(), '\\x00'"
        " FROM generate_series(1, 4000) n, (VALUES ('a'), ('b')) AS os (o)"
    ),
    "ANALYZE course_of_many",
    "ANALYZE client_of_many",
)


async def read_by_a_plan_from_before(connection, condition: str) -> tuple[int, set[str]]:
    """How many pages a look-up of eight courses reads if it was planned before the setting was told, and the kinds of its plan's nodes."""
    for statement in MANY:
        await connection.execute(statement)
    for table in ("course_of_many", "client_of_many"):
        await connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        await connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        await connection.execute(f"CREATE POLICY bound ON {table} USING ({condition}) WITH CHECK ({condition})")
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    sql = (
        COURSES.sql["postgresql"].replace("course ", "course_of_many AS course ").replace(" client ", " client_of_many AS client ")
    )
    await connection.execute(f"PREPARE looked_up AS {sql}")
    execute = "EXECUTE looked_up('a', ARRAY['1', '2', '3', '4', '5', '6', '7', '8'])"
    assert await connection.fetch(execute) == []
    await connection.execute("SELECT set_config('ipt.organisations', 'a,b', false)")
    assert len(await connection.fetch(execute)) == 8
    (plan,) = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}"))
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"], set(nodes(plan["Plan"]))


def nodes(plan: dict) -> list[str]:
    return [plan["Node Type"], *(each for part in plan.get("Plans", ()) for each in nodes(part))]


def test_a_statement_prepared_before_the_organisations_were_told_is_as_fast_after(filled):
    read, kinds = connected(filled, lambda connection: read_by_a_plan_from_before(connection, row_security.CONDITION))
    assert read < 150
    assert not kinds & {"Seq Scan", "Hash Join", "Merge Join"}


def test_the_form_that_the_planner_sees_through_would_not_be(filled):
    read, _ = connected(filled, lambda connection: read_by_a_plan_from_before(connection, PLAIN))
    assert read > 200


# Credentials


@pytest.fixture(scope="module")
def token(filled):
    async def make(clinic):
        made = await Tokens(clinic).create(OPERATOR, NewToken(role="therapist", name="therapist-9"))
        return made.id

    return service_walk.with_clinic(filled, make)


def test_a_credential_is_found_by_its_digest_alone_whatever_was_told(filled, app, token):
    async def digest(connection):
        await connection.fetch(BIND, "default")
        return await connection.fetchval("SELECT secret_hash FROM token WHERE id = $1", token)

    known = connected(filled, digest)

    async def test(connection):
        found = await connection.fetch("SELECT organisation, id FROM token_by_digest($1)", [known, "0" * 64])
        assert [tuple(row) for row in found] == [("default", token)]
        for others in ([], ["%"], [known[:-1]], [token], [None]):
            assert await connection.fetch("SELECT * FROM token_by_digest($1)", others) == []
        assert await connection.fetchval("SELECT count(*) FROM token") == 0  # and nothing is left open
        await connection.execute("SELECT set_config('ipt.resolving', 'on', false)")
        return await connection.fetchval("SELECT count(*) FROM token")

    assert connected(app, test) == 0  # the setting of the function is of no use to others


def test_functions_that_see_more_than_their_caller_find_credentials_alone_and_only_the_app_role_may_call_them(filled):
    names = {kind: databases.as_role(filled, role.granted) for kind, role in roles.ROLES.items() if kind != "backup"}
    roles_of = {kind: settings.database_url.partition("//")[2].partition("@")[0].rstrip(":") for kind, settings in names.items()}

    async def test(connection):
        functions = await connection.fetch(
            "SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, proconfig FROM pg_proc"
            " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        )
        assert sorted(map(tuple, functions)) == [
            (f"{table}_by_digest", "digests text[]", ["search_path=pg_catalog, pg_temp"])
            for table in sorted(row_security.CREDENTIALS)
        ]
        may = "SELECT bool_or(has_function_privilege($1, name || '_by_digest(text[])', 'EXECUTE')) FROM unnest($2::text[]) AS name"
        found = {kind: await connection.fetchval(may, role, list(row_security.CREDENTIALS)) for kind, role in roles_of.items()}
        public = (
            "SELECT bool_or(proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)) FROM pg_proc"
            " WHERE proname LIKE '%\\_by\\_digest'"
        )
        return {**found, "public": await connection.fetchval(public)}

    assert connected(filled, test) == {"app": True, "relay": False, "verifier": False, "public": False}


# What is missing is named


@pytest.mark.parametrize(
    ("harm", "named"),
    (
        ("ALTER TABLE entry DISABLE ROW LEVEL SECURITY", "entry"),
        ("ALTER TABLE client NO FORCE ROW LEVEL SECURITY", "client"),
        ("DROP POLICY bound ON notice", "notice"),
        ("DROP POLICY bound ON course; CREATE POLICY bound ON course USING (true)", "course"),
        ("ALTER POLICY bound ON course TO CURRENT_USER", "course"),
        ("DROP POLICY resolved ON token", "token"),
        ("DROP FUNCTION token_by_digest(text[])", "token_by_digest"),
        ("ALTER FUNCTION token_by_digest(text[]) SECURITY INVOKER", "token_by_digest"),
    ),
)
def test_what_protects_no_more_is_named_and_the_next_upgrade_mends_it(postgres, tmp_path, harm, named):
    settings = databases.empty(tmp_path, postgres)

    async def run():
        database = open_database(settings.database_url)
        try:
            await database.write(lambda connection: [connection.exec_driver_sql(each) for each in harm.split("; ")] and None)
            before = await database.read(check.faults)
            await database.write(row_security.establish)
            return before, await database.read(check.faults)
        finally:
            await database.close()

    before, after = asyncio.run(run())
    assert before == [f"row security: {named} is not protected; run ipt-workflow db upgrade"]
    assert after == []


def test_processes_of_a_version_before_go_on_until_the_next_upgrade_switches_it_on(postgres):
    """They bind their connections to no organisation."""
    url = databases.create(postgres)
    count = "SELECT count(*) FROM organisation AS o JOIN token AS t ON t.organisation = o.id"
    token = "INSERT INTO token (organisation, id, secret_hash, role, name, subject, created_at, expires_at) VALUES ('default', 'a', 'h', 'admin', 'a', 'a', now(), now())"

    async def run():
        database, seen = open_database(url), []
        try:
            await database.write(lambda connection: command.upgrade(migrate._config(connection), "0019"))
            await database.write(lambda connection: connection.exec_driver_sql(token) and None)
            for _ in range(2):
                await database.write(migrate.upgrade)
                rows = await database.read(lambda connection: connection.exec_driver_sql(count).scalar_one())
                seen.append((rows, bool(await database.read(row_security.faults))))
            return seen
        finally:
            await database.close()

    assert asyncio.run(run()) == [(1, True), (0, False)]

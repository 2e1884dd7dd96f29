"""The roles that `db upgrade --roles` creates: what each may do, and what an administrator is told to run instead."""

import asyncio
import json
import uuid

import asyncpg
import pytest
import sqlalchemy as sa
from support import databases, service_walk
from support.http_client import OPERATOR
from support.receivers import other_side
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.subscriptions import NewSubscription, Subscriptions
from ipt_workflow.errors import DatabaseNotReady, ReadOnly
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.verifier import Verifier, VerifierMayWrite, database_of_verifier
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import verification_rounds
from ipt_workflow.store.schema import grants, roles, row_security


@pytest.fixture
def owned(postgres, tmp_path):
    async def fill(clinic):
        await service_walk.walk(clinic, await service_walk.open_course(clinic), "record_consent", "start")

    return service_walk.database(tmp_path, fill, postgres)


def as_user(settings, name):
    url = sa.make_url(settings.database_url).set(username=name).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": url})


def asked(settings, *statements):
    """What the statements return, each in a transaction of its own."""

    async def run():
        connection = await asyncpg.connect(settings.database_url)
        try:
            return [await connection.fetch(each) for each in statements]
        finally:
            await connection.close()

    return asyncio.run(run())


def upgraded(settings, prefix, *more, code=0):
    result = CliRunner().invoke(app, ["db", "upgrade", "--roles", prefix, *more], env={"IPT_DATABASE_URL": settings.database_url})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def prefix():
    return f"t{uuid.uuid4().hex[:10]}"


def made(settings, prefix) -> dict[str, bool]:
    """The roles with a prefix, and whether row-level security lets each by."""
    (found,) = asked(settings, f"SELECT rolname, rolbypassrls, rolsuper FROM pg_roles WHERE rolname LIKE '{prefix}\\_%'")
    assert not any(row["rolsuper"] for row in found)
    return {row["rolname"].removeprefix(f"{prefix}_"): row["rolbypassrls"] for row in found}


def test_a_superuser_creates_all_roles_and_repeating_it_changes_nothing(owned, prefix):
    superuser = as_user(owned, "postgres")
    assert "statements" not in upgraded(superuser, prefix).output
    assert made(owned, prefix) == {"app": False, "relay": False, "verifier": False, "backup": True}
    assert json.loads(upgraded(superuser, prefix, "--json").stdout)["statements"] == []


def test_an_owner_who_may_create_roles_prints_the_one_that_needs_a_superuser(owned, prefix):
    left = json.loads(upgraded(owned, prefix, "--json").stdout)["statements"]
    assert left == [f'CREATE ROLE "{prefix}_backup" {roles.UNBOUND};', *grants.of_reader(f"{prefix}_backup")]
    assert made(owned, prefix) == {"app": False, "relay": False, "verifier": False}
    asked(as_user(owned, "postgres"), *left)
    assert json.loads(upgraded(owned, prefix, "--json").stdout)["statements"] == []
    assert made(owned, prefix)["backup"]


def test_an_owner_who_may_create_no_role_prints_all_statements_for_an_administrator(owned, prefix):
    asked(as_user(owned, "postgres"), f"CREATE ROLE {prefix} LOGIN IN ROLE {databases.OWNER}")
    result = upgraded(as_user(owned, prefix), prefix)
    assert "An administrator of the server runs these" in result.stderr
    printed = result.stdout.splitlines()[1:]
    assert [each for each in printed if each.startswith("CREATE ROLE")] == [
        f'CREATE ROLE "{prefix}_{kind}" {role.attributes};' for kind, role in roles.ROLES.items()
    ]
    asked(as_user(owned, "postgres"), *printed)
    assert set(made(owned, prefix)) - {""} == set(roles.ROLES)


@pytest.mark.parametrize("name", ("", "A", 'x"; DROP TABLE course; --', "x" * 55))
def test_a_prefix_that_cannot_be_one_is_refused(owned, name):
    assert "--roles must be lower-case" in upgraded(owned, name, code=2).stderr


def test_sqlite_has_no_roles(settings):
    assert "--roles needs a PostgreSQL database" in upgraded(settings, "ipt", code=2).stderr


def test_a_relay_delivers_under_its_role_and_reads_no_client_and_nothing_sealed(postgres, tmp_path):
    settings = databases.empty(tmp_path, postgres).model_copy(update={"development": True})
    role = databases.as_role(settings, grants.of_relay)

    async def run():
        async with service_walk.opened(settings) as clinic, other_side(clinic.clock) as other:
            body = NewSubscription(url=other.url, scope="clinical")
            shown = await Subscriptions(clinic).create(OPERATOR, lambda: body)
            other.trusts(shown.secret)
            course = await service_walk.open_course(clinic)
            await service_walk.walk(clinic, course, "record_consent", "start")
            serving = await open_clinic(role, clinic.clock)
            relay = Relay(serving)
            try:
                assert await relay.drain() == 3
                await relay._prune()
            finally:
                await relay.close()
                await serving.installation.close()
            assert other.sequences(course) == [1, 2, 3]

    asyncio.run(run())
    for table in ("client", "entry_data", "token", "notice", "proposal"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asked(role, f"SELECT FROM {table}")


def test_a_verifier_verifies_and_writes_nothing(owned):
    role = databases.as_role(owned, grants.of_reader)

    async def run():
        clinic = await open_clinic(role, reads_only=True)
        try:
            assert (await verification.verify(clinic)).ok
            with pytest.raises((ReadOnly, DatabaseNotReady)):
                await service_walk.open_course(clinic, "EHR-2")
        finally:
            await clinic.installation.close()

    asyncio.run(run())


def test_the_verifier_in_the_background_reads_with_its_own_role_and_refuses_one_that_can_write(owned):
    role, service = databases.as_role(owned, grants.of_reader), databases.as_role(owned, grants.of_service)

    async def run():
        serving = await open_clinic(service)
        try:
            reading = serving.settings.model_copy(update={"verifier_database_url": role.database_url})
            async with database_of_verifier(reading, serving.installation.keys) as database:
                with pytest.raises(DatabaseNotReady):
                    await database.write(verification_rounds.begin, "default", serving.clock.now(), organisations=("default",))
                await Verifier(serving, database).read_on()
            (last,) = await serving.read(verification_rounds.newest)
            assert (last.fault, last.leaves + last.courses > 0) == (None, True)
            writing = serving.settings.model_copy(update={"verifier_database_url": service.database_url})
            with pytest.raises(VerifierMayWrite, match="the role can write"):
                async with database_of_verifier(writing, serving.installation.keys):
                    pass
            async with database_of_verifier(serving.settings, serving.installation.keys) as none:
                assert none is None
        finally:
            await serving.installation.close()

    asyncio.run(run())


def test_a_backup_reads_every_organisation_and_writes_nothing(owned, prefix):
    upgraded(as_user(owned, "postgres"), prefix)
    backup = as_user(owned, f"{prefix}_backup")
    counted = asked(backup, *(f"SELECT count(*) FROM {table}" for table in row_security.PROTECTED))
    assert dict(zip(row_security.PROTECTED, (rows[0][0] for rows in counted), strict=True))["entry"] == 3
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asked(backup, "DELETE FROM course")

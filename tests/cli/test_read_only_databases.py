"""`audit verify`, `audit export` and `db check` where the database can only be read: they say what they could not record, and run."""

import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.store.schema import grants

UNRECORDED = "The audit log has no record of this command."


@pytest.fixture(scope="module")
def filled(tmp_path_factory, server):
    async def fill(clinic):
        await service_walk.walk(clinic, await service_walk.open_course(clinic), "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("read-only"), fill, server)


@pytest.fixture
def cli(filled, server, tmp_path, monkeypatch):
    """Runs commands on a database that its role, or its mode, lets read alone."""
    settings = databases.copy(filled, tmp_path)
    readable = databases.as_role(settings, grants.of_reader).database_url if server else f"{settings.database_url}?mode=ro"

    def run(*args, url=readable):
        monkeypatch.setenv("IPT_DATABASE_URL", url)
        return CliRunner().invoke(app, args)

    run.url = settings.database_url
    return run


@pytest.mark.parametrize("more", ((), ("--chains",), pytest.param(("--processes", "2"), marks=pytest.mark.rest)))
def test_verify_runs_and_says_that_nothing_was_recorded(cli, more):
    done = cli("audit", "verify", *more)
    assert (done.exit_code, done.stdout) == (0, "3 entries of 1 courses are as they were written.\n"), done.output
    assert done.stderr.startswith(UNRECORDED)


def test_export_runs_and_says_that_nothing_was_recorded(cli):
    done = cli("audit", "export")
    assert done.exit_code == 0, done.output
    assert UNRECORDED in done.stderr
    assert [json.loads(line)["action"] for line in done.stdout.splitlines()] == ["refer", "record_consent", "start"]
    recorded = cli("audit", "export", url=cli.url)
    assert UNRECORDED not in recorded.stderr
    assert [json.loads(line)["kind"] for line in cli("audit", "export", url=cli.url).stdout.splitlines()][-1] == "export"


def test_check_runs(cli):
    assert cli("db", "check").exit_code == 0


@pytest.mark.parametrize(
    "command",
    (
        ("token", "create", "--role", "admin", "--name", "ada"),
        ("token", "revoke", "unknown"),
        ("course", "list"),
    ),
)
def test_other_commands_end_with_a_sentence(cli, command):
    done = cli(*command)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert done.stderr.count("\n") == 1


def test_a_protocol_that_is_not_stored_yet_hinders_no_verification(cli, filled, monkeypatch, tmp_path, server):
    """A replica is behind, or its config/ is ahead: its courses are verified all the same."""
    remove = "DELETE FROM protocol WHERE id <> 'ipt'"
    service_walk.with_clinic(
        databases.settings_of(cli.url), lambda clinic: clinic.database.write(lambda c: c.exec_driver_sql(remove) and None)
    )
    assert cli("audit", "verify").exit_code == 0


def test_grants_prints_what_the_owner_runs(cli):
    shown = cli("db", "grants", "ipt_service").stdout.splitlines()
    assert shown == list(grants.of_service("ipt_service"))
    assert json.loads(cli("db", "grants", "auditor", "--read", "--json").stdout) == {
        "statements": list(grants.of_reader("auditor"))
    }
    refused = cli("db", "grants", 'x"; DROP TABLE course; --')
    assert (refused.exit_code, refused.stderr) == (2, "ROLE must be lower-case letters, digits and _, and begin with a letter.\n")

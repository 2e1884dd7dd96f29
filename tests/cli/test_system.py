"""`ipt-workflow system`, and scopes of `ipt-workflow token`, from the command line."""

import json

import pytest
from support.smart import EC, JWKS
from typer.testing import CliRunner

from ipt_workflow.cli.main import app


@pytest.fixture
def run(settings):
    def invoke(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, arguments, env={"IPT_DATABASE_URL": settings.database_url})
        assert made.exit_code == code, made.output
        return made

    return invoke


@pytest.fixture
def jwks(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(JWKS), encoding="utf-8")
    return str(file)


def test_a_system_is_registered_by_a_file_of_keys_and_its_client_id_is_printed(run, jwks):
    first, second = run("system", "add", "north", "--scope", "system/*.rs", "--jwks-file", jwks).stdout.splitlines()
    assert first == "default.north"
    assert second == "The client_id of north, as ehr, for system/*.rs."
    assert "default.north" in run("system", "list").stdout
    (listed,) = json.loads(run("system", "list", "--json").stdout)
    assert (listed["keys"], listed["jwks_url"], listed["last_token_at"]) == (["ec", "rsa"], None, None)


def test_a_system_is_changed_and_revoked(run, jwks):
    run("system", "add", "north", "--scope", "system/*.rs", "--jwks-file", jwks, "--label", "The EHR of the north")
    scopes = ("--scope", "system/Encounter.rs", "--scope", "system/Task.r")
    assert run("system", "set", "north", *scopes).stdout.strip() == "north: system/Encounter.rs system/Task.r"
    changed = json.loads(run("system", "set", "north", "--jwks-url", "https://ehr.example/keys", "--json").stdout)
    assert (changed["jwks_url"], changed["keys"], changed["name"]) == ("https://ehr.example/keys", [], "The EHR of the north")
    assert run("system", "revoke", "north").stdout.strip() == "north is revoked."
    assert "revoked" in run("system", "list").stdout
    assert "no such system" in run("system", "revoke", "north", code=1).stderr
    assert "no such system" in run("system", "set", "north", "--label", "N", code=1).stderr


def test_what_is_wrong_with_the_options_is_said(run, tmp_path, jwks):
    private = tmp_path / "private.json"
    private.write_text(json.dumps({"keys": [EC.as_dict(private=True)]}), encoding="utf-8")
    scope = ("--scope", "system/*.rs")
    told = run("system", "add", "north", *scope, "--jwks-file", str(private), code=1).stderr
    assert "holds a private or shared key" in told
    assert EC.as_dict(private=True)["d"] not in told
    assert "readable file" in run("system", "add", "north", *scope, "--jwks-file", str(tmp_path), code=1).stderr
    assert "jwks" in run("system", "add", "north", *scope, code=1).stderr
    assert "scopes" in run("system", "add", "north", "--jwks-file", jwks, code=2).stderr
    assert "--scope" in run("system", "set", "north", code=2).stderr


def test_a_token_has_scopes_and_shows_its_last_use(run):
    made = json.loads(
        run("token", "create", "--role", "ehr", "--name", "ehr-1", "--scope", "system/Encounter.read", "--json").stdout
    )
    assert made["scopes"] == ["system/Encounter.rs"]
    (listed,) = json.loads(run("token", "list", "--json").stdout)
    assert (listed["scopes"], listed["last_used_at"]) == (["system/Encounter.rs"], None)
    assert "scopes[0]" in run("token", "create", "--role", "ehr", "--name", "x", "--scope", "user/*.rs", code=1).stderr

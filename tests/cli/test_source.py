"""`ipt-workflow source`: EHR systems that may send notices, from the command line."""

import json

import pytest
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.ehr import signatures


@pytest.fixture
def run(settings):
    def invoke(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, ["source", *arguments], env={"IPT_DATABASE_URL": settings.database_url})
        assert made.exit_code == code, made.output
        return made

    return invoke


def test_a_secret_is_made_and_shown_once(run):
    first = run("add", "north").stdout.splitlines()
    signatures.read_key(first[0])
    assert "not shown again" in first[1]
    assert first[0] not in run("list").output
    listed = json.loads(run("list", "--json").stdout)
    assert [(each["id"], each["names_persons"], [key["kind"] for key in each["keys"]]) for each in listed] == [
        ("north", False, ["standard-webhooks"])
    ]
    assert first[0] not in json.dumps(listed)


def test_the_ehrs_own_secret_is_taken_from_a_file_and_not_shown(run, tmp_path):
    (tmp_path / "key").write_text("a-secret-of-the-ehr-itself\n", encoding="ascii")
    added = run(
        "add",
        "medplum",
        "--kind",
        "x-signature",
        "--secret-file",
        str(tmp_path / "key"),
        "--names-persons",
        "--client-prefix",
        "M-",
    )
    assert "a-secret-of-the-ehr-itself" not in added.output
    made = json.loads(run("rotate", "medplum", "--kind", "bearer", "--json").stdout)
    assert [key["kind"] for key in made["source"]["keys"]] == ["x-signature", "bearer"]
    assert made["secret"]


def test_a_source_is_disabled_and_enabled(run):
    run("add", "north")
    assert run("disable", "north").stdout.strip() == "north is disabled."
    assert "disabled" in run("list").stdout
    assert json.loads(run("enable", "north", "--json").stdout)["disabled_at"] is None


def test_settings_are_set_and_shown(run):
    run("add", "north", "--other-visits", "ignore", "--all-visits")
    assert "all-visits, other-visits ignore" in " ".join(run("list").stdout.split())
    changed = run("set", "north", "--other-visits", "wait", "--no-all-visits", "--names-persons")
    assert changed.stdout.strip() == "north: names-persons, other-visits wait"
    shown = json.loads(run("set", "north", "--no-names-persons", "--json").stdout)
    assert (shown["names_persons"], shown["all_visits"], shown["other_visits"]) == (False, False, "wait")
    run("set", "north", code=2)
    run("set", "north", "--other-visits", "maybe", code=2)
    run("set", "south", "--all-visits", code=1)


def test_a_rotation_replaces_the_newest_key_unless_a_kind_is_given(run):
    run("add", "hapi", "--kind", "bearer")
    rotated = json.loads(run("rotate", "hapi", "--json").stdout)
    assert [key["kind"] for key in rotated["source"]["keys"]] == ["bearer", "bearer"]


def test_a_token_is_bound_to_a_source(run, settings):
    def token(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, ["token", *arguments], env={"IPT_DATABASE_URL": settings.database_url})
        assert made.exit_code == code, made.output
        return made.output

    run("add", "north")
    made = json.loads(token("create", "--role", "ehr", "--name", "north", "--source", "north", "--json"))
    assert made["source"] == "north"
    assert "north" in token("list")
    assert "names no source" in token("create", "--role", "ehr", "--name", "south", "--source", "south", code=1)
    assert "only with the role ehr" in token("create", "--role", "admin", "--name", "a", "--source", "north", code=1)


def test_what_cannot_be_is_refused(run, tmp_path):
    run("add", "north")
    run("add", "north", code=1)
    run("add", "North!", code=2)
    run("add", "south", "--kind", "password", code=2)
    run("add", "south", "--secret-file", str(tmp_path / "missing"), code=1)
    run("rotate", "south", code=1)
    run("rotate", "north", "--overlap-hours", "-1", code=2)
    run("disable", "south", code=1)

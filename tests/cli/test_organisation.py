"""`ipt-workflow organisation`: created, shown, changed, suspended and resumed by the operator at the machine."""

import json

import pytest
from support import databases
from typer.testing import CliRunner

from ipt_workflow.cli.main import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `organisation` with these arguments, which must end with the code, and returns the result."""
    monkeypatch.setenv("IPT_DATABASE_URL", databases.empty(tmp_path).database_url)

    def run(*args: str, code: int = 0):
        result = CliRunner().invoke(app, ["organisation", *args])
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    return run


def shown(run) -> dict[str, str]:
    found = json.loads(run("show", "south", "--json").stdout)
    return {name: found[name] for name in ("title", "zone", "status", "supervision", "auditor_text")}


def test_an_organisation_is_created_shown_changed_suspended_and_resumed(run):
    created = run("create", "south", "--title", "South Clinic", "--zone", "Europe/Vienna").stdout
    assert "IPT_ORGANISATION=south ipt-workflow token create" in " ".join(created.split())
    says = "south: South Clinic, Europe/Vienna, active. Supervisors see: organisation. Auditors read sealed text: open."
    assert " ".join(run("show", "south").stdout.split()) == says
    run("change", "south", "--supervision", "supervisees")
    run("change", "south", "--auditor-text", "unmask", "--title", "South", "--zone", "Europe/Berlin")
    run("change", "south", "--crisis-contacts", "Crisis line: 116 123 | Clinic: 01 234")
    assert json.loads(run("show", "south", "--json").stdout)["crisis_contacts"] == "Crisis line: 116 123\nClinic: 01 234"
    run("suspend", "south")
    expected = {"title": "South", "zone": "Europe/Berlin", "supervision": "supervisees", "auditor_text": "unmask"}
    assert shown(run) == {**expected, "status": "suspended"}
    assert [each["id"] for each in json.loads(run("list", "--json").stdout)["items"]] == ["default", "south"]
    run("resume", "south")
    assert shown(run) == {**expected, "status": "active"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    (
        (("create", "default"), 1, "is the id of an organisation that exists"),
        (("create", "South"), 2, "id"),
        (("create", "south", "--zone", "Berlin"), 1, "must be an IANA time zone"),
        (("change", "default", "--zone", "Berlin"), 1, "must be an IANA time zone"),
        (("change", "default", "--supervision", "nobody"), 2, "supervision"),
        (("show", "south"), 1, "There is no such organisation"),
        (("suspend", "south"), 1, "There is no such organisation"),
    ),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_in_a_sentence(run, arguments, code, says):
    assert says in " ".join(run(*arguments, code=code).stderr.split())

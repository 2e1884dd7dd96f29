"""`ipt-workflow client`: the reports about a client without a server."""

import csv
import io
import json
import zipfile

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

COURT = ("--to", "Family court", "--what", "A letter", "--purpose", "HLEGAL", "--as", "therapist-1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a started course, and the course's id."""
    found = []

    async def fill(clinic):
        found.append(await service_walk.open_course(clinic))
        await service_walk.walk(clinic, found[0], "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("client"), fill), found[0]


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(made[0], tmp_path).database_url)

    def call(*args: str, code: int = 0):
        result = CliRunner().invoke(app, ["client", *args])
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    return call


def test_the_access_report_is_printed_in_every_form(cli, made):
    assert "therapist-1" in cli("access-report", "EHR-1").stdout
    by_course = json.loads(cli("access-report", "--course", made[1], "--json").stdout)
    assert ("transition", 3) in {(each["kind"], each["times"]) for each in by_course["items"]}
    table = list(csv.DictReader(io.StringIO(cli("access-report", "EHR-1", "--format", "csv").stdout)))
    assert [each["action"] for each in table].count("access report") == 1
    events = [json.loads(line) for line in cli("access-report", "EHR-1", "--format", "fhir").stdout.splitlines()]
    assert {each["resourceType"] for each in events} == {"AuditEvent"}


def test_a_disclosure_is_recorded_and_accounted_for_in_every_form(cli):
    for _ in range(2):
        assert "HLEGAL" in cli("disclose", "EHR-1", *COURT).stdout
    assert "Family court" in cli("accounting", "EHR-1").stdout
    (one,) = json.loads(cli("accounting", "EHR-1", "--json").stdout)["items"]
    assert (one["recipient"], one["times"]) == ("Family court", 2)
    (row,) = csv.DictReader(io.StringIO(cli("accounting", "EHR-1", "--format", "csv").stdout))
    assert row["what"] == "A letter"
    (event,) = cli("accounting", "EHR-1", "--format", "fhir").stdout.splitlines()
    assert json.loads(event)["type"]["code"] == "110106"


def test_what_is_wrong_is_said(cli):
    assert "No client is known by this" in cli("access-report", "EHR-none", code=1).stderr
    assert "either the client's reference, or a course" in cli("accounting", code=1).stderr
    assert "--format must be csv or fhir" in cli("accounting", "EHR-1", "--format", "pdf", code=2).stderr
    assert "purpose" in cli("disclose", "EHR-1", *COURT[:4], "--purpose", "x", "--as", "therapist-1", code=2).stderr
    assert "--role must be" in cli("disclose", "EHR-1", *COURT, "--role", "auditor", code=2).stderr


def test_a_client_is_exported_to_a_file_that_only_its_owner_may_read(cli, tmp_path):
    target = tmp_path / "client.zip"
    asked = ("export", "EHR-1", "--ground", "gdpr-15", "--as", "therapist-1")
    assert "3 entries" in cli(*asked, "--dry-run").stdout
    assert "not proved: the log is not signed" in cli(*asked, "--to", str(target)).stdout
    assert target.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(target) as archive:
        assert json.loads(archive.read("manifest.json"))["kind"] == "client"
    assert "cannot be made" in cli(*asked, "--to", str(target), code=2).stderr
    assert "--to must name the file" in cli(*asked, code=2).stderr
    other = tmp_path / "other.zip"
    assert "No client is known" in cli("export", "EHR-9", *asked[2:], "--to", str(other), code=1).stderr
    assert not other.exists()

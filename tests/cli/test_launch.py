"""`ipt-workflow launch`: EHRs that may open courses, from the command line."""

import json

import msgspec
import pytest
from support.signing_in import on_database
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.store import organisations

ISS = "https://ehr.example/fhir"


@pytest.fixture
def run(settings):
    def invoke(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, ["launch", *arguments], env={"IPT_DATABASE_URL": settings.database_url})
        assert made.exit_code == code, made.output
        return made

    return invoke


def kept(settings) -> dict:
    return msgspec.json.decode(on_database(settings, organisations.find, "default").settings)


def test_an_ehr_is_added_listed_without_its_key_and_removed(run, settings):
    told = run("add", ISS, "--client-id", "ipt", "--client-prefix", "EHR-", "--knows-persons").stdout
    assert "may open courses. It knows this service as ipt (private_key_jwt)" in told
    (found,) = json.loads(run("list", "--json").stdout)
    assert found == {
        "iss": ISS,
        "client_id": "ipt",
        "authentication": "private_key_jwt",
        "client_prefix": "EHR-",
        "knows_persons": True,
    }
    assert ISS in run("list").stdout
    (stored,) = kept(settings)["launch"]
    assert json.loads(stored["secret"].partition(":")[2])["crv"] == "P-384"
    assert "may open no more" in run("remove", f"{ISS}/").stdout
    assert json.loads(run("list", "--json").stdout) == []
    assert "No EHR of this address" in run("remove", ISS, code=1).stderr


def test_other_settings_of_the_organisation_stay_and_an_ehr_is_known_once(run, settings, tmp_path):
    run("add", ISS, "--client-id", "ipt")
    row = on_database(settings, organisations.find, "default")
    content = msgspec.json.encode({**kept(settings), "other": {"kept": True}})
    assert on_database(settings, organisations.change, msgspec.structs.replace(row, settings=content, version=row.version + 1))
    (tmp_path / "secret").write_text("a secret of the EHR\n", encoding="ascii")
    told = run("add", f"{ISS}/", "--client-id", "ipt-2", "--secret-file", str(tmp_path / "secret"))
    assert "client_secret_basic" in told.stdout
    assert "a secret of the EHR" not in told.output
    after = kept(settings)
    assert after["other"] == {"kept": True}
    assert [each["client_id"] for each in after["launch"]] == ["ipt-2"]


@pytest.mark.parametrize(
    ("iss", "where"),
    [("http://ehr.example/fhir", "iss"), ("https://10.0.0.1/fhir", "iss"), ("https://ehr.example/fhir#x", "iss")],
)
def test_an_ehr_at_an_address_that_may_not_be_called_is_refused(run, iss, where):
    assert f"{where}:" in run("add", iss, "--client-id", "ipt", code=1).stderr

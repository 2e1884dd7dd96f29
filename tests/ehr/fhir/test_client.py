"""A FHIR client that nobody here wrote (`fhirpy`) reads a course over a socket."""

import asyncio
import datetime as dt
import json
import subprocess
import sys
from collections import Counter

import httpx
import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import ForbiddenError, OperationOutcome, ResourceNotFound
from support import http_server, service_walk, smart
from support.pages import blocks

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.smart.systems import NewSystem, Systems
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service import demo
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.installation import Installation

CLOCK = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Settings and a token of a database with two courses: one that was completed, and one that begins."""
    created = {}

    async def fill(clinic):
        clock = VirtualClock(CLOCK)
        for number, steps in enumerate((demo.DONE, demo.STARTED), start=1):
            await demo._course(
                Clinic(Installation(clinic.database, clinic.catalogue, clinic.settings, clock), clinic.organisation),
                clock,
                CLOCK,
                number,
                demo.Plan(1, steps),
            )
        operator = Principal(person="operator", role="admin", via="cli")
        created["token"] = (await Tokens(clinic).create(operator, NewToken(role="ehr", name="ehr-1", days=3650))).token
        system = NewSystem(id="north", scopes=("system/*.rs",), jwks=smart.JWKS)
        await Systems(clinic).add(operator, lambda: system)

    settings = service_walk.database(tmp_path_factory.mktemp("client"), fill)
    return settings, created["token"]


@pytest.fixture(scope="module")
def served(filled):
    """A service on a port of its own."""
    settings, token = filled
    with http_server.served(settings) as url:
        yield SyncFHIRClient(f"{url}/fhir/R4", authorization=f"Bearer {token}")


@pytest.fixture(scope="module")
def episode(served):
    return served.resources("EpisodeOfCare").search(status="finished").get()


def test_the_client_finds_the_course(served, episode):
    assert episode.get_by_path("status") == "finished"
    assert episode.get_by_path("statusHistory.0.status") == "planned"
    assert dict(served.get("EpisodeOfCare", episode["id"])) == dict(episode)


def test_it_reads_every_session_page_by_page(served, episode):
    sessions = served.resources("Encounter").search(episode_of_care=f"EpisodeOfCare/{episode['id']}").limit(2).fetch_all()
    assert Counter(each["status"] for each in sessions) == {"finished": 12}
    assert len({each["id"] for each in sessions}) == 12
    assert sorted(each["period"]["start"] for each in sessions) == [each["period"]["start"] for each in sessions]


def test_it_sees_symptoms_go_down(served):
    totals = served.resources("Observation").search(code="http://loinc.org|44261-6", status="final").fetch_all()
    values = [each.get_by_path("valueQuantity.value") for each in totals]
    assert len(values) == 2
    assert values[0] > values[-1] == 4


def test_it_goes_from_the_plan_to_its_definition_and_to_the_sessions_of_each_phase(served, episode):
    plan = served.resources("CarePlan").search(_id=episode["id"]).get()
    url, _, version = plan["instantiatesCanonical"][0].partition("|")
    definition = served.resources("PlanDefinition").search(url=url, version=version).get()
    assert [action["id"] for action in definition["action"]] == ["initial", "middle", "final"]
    held = [len(activity.get("outcomeReference", [])) for activity in plan["activity"]]
    assert held == [2, 7, 3]
    reference = plan["activity"][2]["outcomeReference"][0]["reference"]
    assert served.reference(reference=reference).to_resource()["status"] == "finished"


def test_every_version_of_the_course_has_its_provenance(served, episode):
    provenances = served.resources("Provenance").search(target=f"EpisodeOfCare/{episode['id']}").fetch_all()
    targets = [each["target"][0]["reference"] for each in provenances]
    assert targets == [f"EpisodeOfCare/{episode['id']}/_history/{version}" for version in range(1, len(provenances) + 1)]
    assert str(len(provenances)) == episode["meta"]["versionId"]


def test_it_counts(served):
    assert served.resources("EpisodeOfCare").count() == 2
    assert served.resources("EpisodeOfCare").search(status="finished").count() == 1


def test_a_client_that_proves_itself_by_its_key_reads_what_its_scopes_cover(served):
    base = served.url
    configuration = httpx.get(f"{base}/.well-known/smart-configuration").json()
    url = configuration["token_endpoint"]
    asserted = smart.assertion(aud=url, algorithm="RS384")
    issued = httpx.post(url, data=smart.form(asserted, "system/Encounter.rs system/EpisodeOfCare.rs")).json()
    assert issued["scope"] == "system/Encounter.rs system/EpisodeOfCare.rs"
    by_key = SyncFHIRClient(base, authorization=f"Bearer {issued['access_token']}")
    assert by_key.resources("EpisodeOfCare").count() == 2
    assert len(by_key.resources("Encounter").search(status="finished").fetch_all()) == 12
    with pytest.raises(ForbiddenError, match=r"system/Observation\.s"):
        by_key.resources("Observation").fetch()
    again = httpx.post(url, data=smart.form(asserted))
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_the_example_of_the_page_registers_its_key_and_reads(served, filled, tmp_path):
    (example,) = blocks("fhir.md", "python")
    command = [sys.executable, "-c", example, served.url, "default.example"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Register jwks.json" in first.stderr
    keys = json.loads((tmp_path / "jwks.json").read_text(encoding="utf-8"))

    async def register():
        clinic = await open_clinic(filled[0])
        try:
            await Systems(clinic).add(http_server.OPERATOR, lambda: NewSystem(id="example", scopes=("system/*.rs",), jwks=keys))
        finally:
            await clinic.installation.close()

    asyncio.run(register())
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (second.returncode, second.stdout) == (0, "2 courses\n"), second.stderr


def test_what_is_not_there_and_what_it_may_not_see_it_understands(served):
    with pytest.raises(ResourceNotFound):
        served.get("EpisodeOfCare", "nothing")
    with pytest.raises(ForbiddenError, match=r"OperationOutcome.*forbidden"):
        served.resources("AuditEvent").fetch()
    with pytest.raises(OperationOutcome) as refused:
        served.resources("EpisodeOfCare").search(date="soon").fetch()
    assert refused.value.resource["issue"][0]["code"] == "value"

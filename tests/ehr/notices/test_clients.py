"""FHIR clients that nobody here wrote (`fhirpy`, `fhir-kit-client`) send to the rest-hook and read from /fhir/R4, over a socket."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome
from support import fhir_validators, http_server, service_walk
from support.fhir_bodies import at, encounter, form
from support.http_client import OPERATOR

from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.installation import Installation

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
NODE = Path(__file__).parents[1] / "fhir" / "node"
MINIMAL, WHOLE = {"Prefer": "return=minimal"}, {"Prefer": "return=representation"}


class Served:
    """A service with a started course of EHR-1 and the source `north`. `secret` is the source's, `token` that of an EHR that reads."""

    def __init__(self, url: str, secret: str, token: str) -> None:
        self.hook = f"{url}/v1/ehr/fhir/north"
        self.base = f"{url}/fhir/R4"
        self.secret = secret
        self.token = token

    def sender(self, **headers: str) -> SyncFHIRClient:
        return SyncFHIRClient(self.hook, authorization=f"Bearer {self.secret}", extra_headers=headers)

    def reader(self) -> SyncFHIRClient:
        return SyncFHIRClient(self.base, authorization=f"Bearer {self.token}")

    def visits(self) -> list[str]:
        return sorted(each["status"] for each in self.reader().resources("Encounter").fetch_all())

    def step(self, call: str, *, reads: bool = False, **args: Any) -> dict[str, Any]:
        """A call of fhir-kit-client."""
        base, bearer = (self.base, self.token) if reads else (self.hook, self.secret)
        return {"baseUrl": base, "bearer": bearer, "call": call, "args": args}


@pytest.fixture
def served(tmp_path):
    clock, made = VirtualClock(START), {}

    async def fill(clinic):
        clinic = Clinic(Installation(clinic.database, clinic.catalogue, clinic.settings, clock), clinic.organisation)
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start")
        made["secret"] = (await Sources(clinic).add(OPERATOR, lambda: NewSource(id="north", kind="bearer"))).secret
        made["token"] = (await Tokens(clinic).create(OPERATOR, NewToken(role="ehr", name="north", days=3650))).token

    settings = service_walk.database(tmp_path, fill)
    clock.advance(dt.timedelta(days=14))
    with http_server.served(settings, clock) as url:
        yield Served(url, made["secret"], made["token"])


# fhirpy


def test_fhirpy_saves_updates_and_deletes_a_visit_and_reads_what_became_of_it(served):
    sender = served.sender(**WHOLE)
    visit = sender.resource("Encounter", **encounter())
    visit.save()
    assert visit.serialize() == encounter()
    assert served.visits() == ["finished"]
    visit["period"] = {"start": at(6), "end": at(6, minutes=45)}
    visit["meta"] = encounter(version=2)["meta"]
    visit.update()
    (found,) = served.reader().resources("Encounter").fetch_all()
    assert found["period"]["start"].startswith("2026-01-11")
    other = sender.resource("Encounter", **encounter("E2", period={"start": at(9), "end": at(9, minutes=45)}))
    other.save()
    assert other.delete()["issue"][0]["details"]["text"] == "Applied"
    assert served.visits() == ["entered-in-error", "finished"]
    visit.delete()
    assert served.visits() == ["entered-in-error", "entered-in-error"]


def test_fhirpy_understands_an_outcome_and_an_empty_answer(served):
    said = served.sender().execute("Encounter/E1", "put", encounter())
    assert (said["resourceType"], said["issue"][0]["details"]["text"]) == ("OperationOutcome", "Applied")
    assert served.sender(**MINIMAL).execute("Encounter/E1", "put", encounter()) is None
    assert served.sender(**MINIMAL).delete("Encounter", "E1") is None
    assert served.visits() == ["entered-in-error"]


def test_fhirpy_raises_the_outcome_of_what_is_refused(served):
    with pytest.raises(OperationOutcome) as refused:
        served.sender().execute("Encounter/E2", "put", encounter("E1"))
    assert refused.value.resource["issue"][0]["diagnostics"].startswith("id: must be the id in the path")


# fhir-kit-client


def calls(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    node = Path(sys.executable).with_name("node")
    request = json.dumps({"steps": steps})
    done = subprocess.run([node, "client.mjs"], cwd=NODE, input=request, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def texts(result: dict[str, Any]) -> list[str]:
    return [issue["details"]["text"] for issue in result["data"]["issue"]]


def statuses(result: dict[str, Any]) -> list[str]:
    return [entry["response"]["status"] for entry in result["data"]["entry"]]


def put(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}


def test_fhir_kit_client_creates_updates_deletes_and_searches(served):
    later = encounter(version=2, period={"start": at(6), "end": at(6, minutes=45)})
    other = encounter("E2", period={"start": at(9), "end": at(9, minutes=45)})
    created, updated, put_too, found, deleted = calls(
        served.step("create", resourceType="Encounter", body=encounter()),
        served.step("update", resourceType="Encounter", id="E1", body=later),
        served.step("update", resourceType="Encounter", id="E2", body=other),
        served.step("search", resourceType="Encounter", searchParams={"status": "finished"}, reads=True),
        served.step("delete", resourceType="Encounter", id="E2"),
    )
    assert [(each["status"], texts(each)) for each in (created, updated, put_too, deleted)] == [(200, ["Applied"])] * 4
    starts = [entry["resource"]["period"]["start"][:10] for entry in found["data"]["entry"]]
    assert sorted(starts) == ["2026-01-11", "2026-01-14"]
    assert served.visits() == ["entered-in-error", "finished"]
    assert fhir_validators.faults([created["data"], updated["data"], deleted["data"]]) == [[], [], []]


def test_fhir_kit_client_sends_a_batch_and_a_transaction(served):
    bad = {"resourceType": "Encounter", "id": 7}
    entries = [put(encounter()), put(bad), put({"resourceType": "Medication", "id": "M1"})]
    batch, transaction = calls(
        served.step("batch", body={"resourceType": "Bundle", "type": "batch", "entry": entries}),
        served.step("transaction", body={"resourceType": "Bundle", "type": "transaction", "entry": [put(form([1] * 9)), put(bad | {"id": 8})]}),
    )  # fmt: skip
    assert (batch["status"], batch["data"]["type"]) == (200, "batch-response")
    assert statuses(batch) == ["200 OK", "422 Unprocessable Entity", "200 OK"]
    assert (transaction["status"], transaction["data"]["type"]) == (200, "transaction-response")
    assert statuses(transaction) == ["200 OK", "202 Accepted"]
    assert fhir_validators.faults([batch["data"], transaction["data"]]) == [[], []]
    assert served.visits() == ["finished"]


def test_fhir_kit_client_raises_the_outcome_of_what_is_refused(served):
    wrong = served.step("update", resourceType="Encounter", id="E2", body=encounter("E1"))
    stranger = wrong | {"bearer": "nonsense"}
    refused, unknown = calls(wrong, stranger)
    assert (refused["status"], refused["error"]["issue"][0]["code"]) == (422, "value")
    assert (unknown["status"], unknown["error"]["issue"][0]["code"]) == (401, "login")

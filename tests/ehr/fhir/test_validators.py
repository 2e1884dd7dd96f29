"""Every resource of a whole demonstration, and of a course walked to its end, by two validators; both are shown to reject."""

import asyncio
import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import fhir_validators, http_client, service_walk

from ipt_workflow.service import demo

KINDS = (
    "EpisodeOfCare",
    "CarePlan",
    "Encounter",
    "Observation",
    "QuestionnaireResponse",
    "Provenance",
    "PlanDefinition",
    "Patient",
    "AuditEvent",
)


async def everything(api: http_client.Api) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Every resource, by following the pages of every search; and the bundles they came in."""
    resources, bundles = [], []
    for kind in KINDS:
        path = f"/fhir/R4/{kind}?_count=100"
        while path:
            answer = await api.get(path, "supervisor")
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            bundles.append(bundle)
            resources += [entry["resource"] for entry in bundle.get("entry", ())]
            path = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
    resources.append((await api.get("/fhir/R4/metadata")).json())
    return resources, bundles


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    async def fill(clinic):
        await demo.make(clinic)

    settings = service_walk.database(tmp_path_factory.mktemp("fhir"), fill)

    async def read():
        async with http_client.running(settings) as api:
            episode = (await api.get("/fhir/R4/EpisodeOfCare?status=finished&_count=1", "supervisor")).json()["entry"][0][
                "resource"
            ]
            history = (await api.get(f"/fhir/R4/EpisodeOfCare/{episode['id']}/_history?_count=100", "supervisor")).json()
            resources, bundles = await everything(api)
            export = await api.get("/v1/audit/export?format=fhir", "auditor")
            lines = [json.loads(line) for line in export.text.splitlines()]
            return resources, [*bundles, history], lines

    return asyncio.run(read())


@pytest.fixture(scope="module")
def resources(demonstration):
    return demonstration[0]


def fault_counts(found: list[list[str]], resources: list[dict[str, Any]]) -> Counter:
    """What is wrong, and how often."""
    return Counter((each["resourceType"], fault) for each, faults in zip(resources, found, strict=True) for fault in faults)


def test_there_are_resources_of_every_kind(resources):
    counts = Counter(each["resourceType"] for each in resources)
    assert set(counts) == {*KINDS, "CapabilityStatement"}
    assert counts["EpisodeOfCare"] == counts["CarePlan"] == demo.COURSES
    assert counts["Provenance"] > 500
    assert counts["Encounter"] > 100
    assert counts["Observation"] >= counts["QuestionnaireResponse"] > 40


def test_both_validators_and_the_profiles_pass_a_sample_of_every_kind_of_resource(resources):
    by_kind = {kind: [each for each in resources if each["resourceType"] == kind] for kind in {*KINDS, "CapabilityStatement"}}
    sample = [each for found in by_kind.values() for each in found[::12]]
    assert {each["resourceType"] for each in sample} == set(by_kind)
    assert fault_counts(fhir_validators.faults(sample), sample) == Counter()


@pytest.mark.rest
def test_both_validators_and_the_profiles_pass_every_resource_of_the_demonstration(resources):
    assert fault_counts(fhir_validators.faults(resources), resources) == Counter()


def test_both_validators_pass_the_bundles(demonstration):
    _, bundles, _ = demonstration
    assert {bundle["type"] for bundle in bundles} == {"searchset", "history"}
    assert fault_counts(fhir_validators.faults(bundles), bundles) == Counter()


def test_ids_are_unique_within_their_kind(resources):
    counts = Counter((each["resourceType"], each["id"]) for each in resources if "id" in each)
    assert max(counts.values()) == 1


def test_every_reference_between_resources_leads_somewhere(resources):
    there = {f"{each['resourceType']}/{each['id']}" for each in resources if "id" in each}
    named = {reference.partition("/_history/")[0] for each in resources for reference in references(each)}
    assert named
    assert named - there == set()


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [each for item in value.values() for each in references(item)]
    return [each for item in value for each in references(item)] if isinstance(value, list) else []


def test_the_export_holds_every_audit_event_and_both_validators_pass_it(demonstration):
    resources, _, exported = demonstration
    searched = {each["id"]: each for each in resources if each["resourceType"] == "AuditEvent"}
    by_id = {each["id"]: each for each in exported}
    assert {name: by_id.get(name) for name in searched} == searched
    later = [each for name, each in by_id.items() if name not in searched]
    assert fault_counts(fhir_validators.faults(later), later) == Counter()


def of_kind(resources: list[dict[str, Any]], kind: str, **having: Any) -> dict[str, Any]:
    return copy.deepcopy(
        next(
            each
            for each in resources
            if each["resourceType"] == kind and all(each.get(name) == value for name, value in having.items())
        )
    )


CODES = {
    "EpisodeOfCare": "status",
    "CarePlan": "intent",
    "Encounter": "status",
    "Observation": "status",
    "QuestionnaireResponse": "status",
    "PlanDefinition": "status",
    "AuditEvent": "action",
    "CapabilityStatement": "kind",
}
REQUIRED = {
    "EpisodeOfCare": "patient",
    "CarePlan": "subject",
    "Encounter": "class",
    "Observation": "code",
    "QuestionnaireResponse": "status",
    "Provenance": "agent",
    "PlanDefinition": "status",
    "AuditEvent": "source",
    "CapabilityStatement": "fhirVersion",
}


@pytest.mark.parametrize("kind", sorted(CODES))
def test_a_code_that_is_none_is_rejected(resources, kind):
    broken = of_kind(resources, kind)
    broken[CODES[kind]] = "no-such-code"
    assert fhir_validators.by_validator(broken)["fhir"]


@pytest.mark.parametrize("kind", sorted(REQUIRED))
def test_what_is_missing_is_rejected_by_both(resources, kind):
    broken = of_kind(resources, kind)
    del broken[REQUIRED[kind]]
    found = fhir_validators.by_validator(broken)
    assert found["medplum"]
    assert found["fhir"]


def test_an_element_that_does_not_exist_is_rejected_by_both(resources):
    broken = of_kind(resources, "EpisodeOfCare") | {"phase": "initial"}
    found = fhir_validators.by_validator(broken)
    assert found["medplum"]
    assert found["fhir"]


def test_an_invariant_that_does_not_hold_is_rejected(resources):
    broken = of_kind(resources, "Observation")
    broken["dataAbsentReason"] = {"text": "there is a value all the same"}
    assert any("obs-6" in fault for fault in fhir_validators.by_validator(broken)["medplum"])


def broken_events(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """AuditEvents of every profile, each with one thing wrong."""
    claimed = {each["meta"]["profile"][0].rpartition(".")[2]: each for each in resources if each.get("meta", {}).get("profile")}
    broken = {}
    for name, event in claimed.items():
        for what, change in CHANGES.items():
            mutated = copy.deepcopy(event)
            if change(mutated) is not False:
                broken[f"{name}: {what}"] = mutated
    return broken


def _swap_agents(event):
    event["agent"][0]["type"]["coding"][0]["code"] = "110150"


def _no_network(event):
    del event["agent"][0]["network"]


def _network_of_user(event):
    event["agent"][2]["network"] = {"address": "urn:x", "type": "5"}


def _other_subtype(event):
    event["subtype"] = [{"system": "http://hl7.org/fhir/restful-interaction", "code": "operation"}]


def _failed(event):
    event["outcome"] = "4"


def _other_action(event):
    event["action"] = "D"


def _no_patient(event):
    if "Patient" not in event["meta"]["profile"][0]:
        return False
    event["entity"] = [each for each in event["entity"] if each["type"]["code"] != "1"]
    return True


def _no_subject(event):
    event["entity"] = [each for each in event["entity"] if each["type"]["code"] != "2"]


def _empty_subject(event):
    subject = next(each for each in event["entity"] if each["type"]["code"] == "2")
    subject.pop("query", None), subject.pop("what", None)


CHANGES = {
    "an agent that is no client": _swap_agents,
    "a client without network": _no_network,
    "a user with network": _network_of_user,
    "another interaction": _other_subtype,
    "a failure": _failed,
    "another action": _other_action,
    "no patient": _no_patient,
    "no data or query": _no_subject,
    "data or query without content": _empty_subject,
}


def test_the_demonstration_has_audit_events_of_every_profile_but_deletion(resources):
    claimed = {url.rpartition(".")[2] for each in resources for url in each.get("meta", {}).get("profile", ())}
    assert claimed >= {"PatientCreate", "PatientUpdate", "PatientRead", "Create", "Query"}


def test_the_profiles_reject_every_mutation_of_every_kind_of_audit_event(resources):
    broken = broken_events(resources)
    found = fhir_validators.faults(list(broken.values()))
    assert [name for name, faults in zip(broken, found, strict=True) if not faults] == []


def test_the_profiles_own_example_passes(resources):
    example = json.loads((Path(fhir_validators.BALP) / "AuditEvent-ex-auditBasicReadServer.json").read_text(encoding="utf-8"))
    assert fhir_validators.faults([example]) == [[]]

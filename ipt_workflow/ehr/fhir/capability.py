"""The CapabilityStatement: the resources that are served, and their search parameters."""

from collections.abc import Iterable

import ipt_workflow
from ipt_workflow.ehr.fhir.kinds import KINDS, KindReference, Served, relations_from, relations_to
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import (
    CapabilityStatement,
    Code,
    Implementation,
    Operation,
    Rest,
    RestResource,
    SearchParam,
    Security,
    Software,
)
from ipt_workflow.ehr.fhir.types import Coding, Extension, concept

FHIR_VERSION = "4.0.1"


SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
EVERYTHING = Operation(name="everything", definition="http://hl7.org/fhir/OperationDefinition/Patient-everything")
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def capability_statement(site: Site, token_url: str) -> CapabilityStatement:
    """`token_url` is where a system gets an access token."""
    return CapabilityStatement(
        name="IptWorkflow",
        title="Courses of Interpersonal Psychotherapy",
        status="active",
        date=ipt_workflow.__released__,
        kind="instance",
        software=Software(name="ipt_workflow", version=ipt_workflow.__version__),
        implementation=Implementation(description="Courses of Interpersonal Psychotherapy", url=site.base),
        fhir_version=FHIR_VERSION,
        format=("application/fhir+json", "json"),
        rest=(
            Rest(
                mode="server",
                documentation="Read only. Triggers change a course, at /v1.",
                security=_security(token_url),
                resource=tuple(_resource(served) for served in KINDS.values()),
                interaction=(Code(code="batch"),),
                compartment=("http://hl7.org/fhir/CompartmentDefinition/patient",),
            ),
        ),
    )


def _security(token_url: str) -> Security:
    """SMART Backend Services, in the form of SMART 1 as well: newer clients read `.well-known/smart-configuration`."""
    return Security(
        extension=(Extension(url=OAUTH_URIS, extension=(Extension(url="token", value_uri=token_url),)),),
        service=(concept(Coding(system=SERVICES, code="SMART-on-FHIR")),),
        description="Authorization: Bearer with an access token (SMART Backend Services), or with a fixed token of this service.",
    )


def _resource(served: Served) -> RestResource:
    versions = ["vread", "history-instance", "history-type"] if served.versions != "none" else []
    return RestResource(
        type=served.name,
        documentation=served.says,
        interaction=tuple(Code(code=each) for each in ("read", *versions, "search-type")),
        versioning="versioned" if versions else "no-version",
        conditional_read="not-match",
        search_include=_names(relations_from(served.name)),
        search_rev_include=_names(relations_to(served.name)),
        search_param=tuple(SearchParam(name=each.name, type=each.kind, documentation=each.says) for each in served.params),
        operation=(EVERYTHING,) if served.name == "Patient" else (),
    )


def _names(relations: Iterable[KindReference]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.name for each in relations))

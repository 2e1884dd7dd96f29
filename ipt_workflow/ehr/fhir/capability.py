"""The CapabilityStatement: the resources that are served, and their search parameters."""

from collections.abc import Iterable

import ipt_workflow
from ipt_workflow.ehr.fhir.kinds import KINDS, KindReference, Served, relations_from, relations_to
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import (
    CapabilityStatement,
    Code,
    Implementation,
    Rest,
    RestResource,
    SearchParam,
    Security,
    Software,
)

FHIR_VERSION = "4.0.1"


def capability_statement(site: Site) -> CapabilityStatement:
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
                security=Security(description="Authorization: Bearer with a token of this service."),
                resource=tuple(_resource(served) for served in KINDS.values()),
                interaction=(Code(code="batch"),),
                compartment=("http://hl7.org/fhir/CompartmentDefinition/patient",),
            ),
        ),
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
    )


def _names(relations: Iterable[KindReference]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.name for each in relations))

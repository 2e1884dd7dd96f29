"""The CapabilityStatement: the resources that are served, and their search parameters."""

import datetime as dt

import ipt_workflow
from ipt_workflow.ehr.fhir.kinds import KINDS, Served
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
PATIENT = "The client, as `system|value`. Only in the body of POST …/_search."


def capability_statement(site: Site, at: dt.datetime) -> CapabilityStatement:
    return CapabilityStatement(
        name="IptWorkflow",
        title="Courses of Interpersonal Psychotherapy",
        status="active",
        date=at,
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
            ),
        ),
    )


def _resource(served: Served) -> RestResource:
    interactions = [
        "read",
        *(["vread"] if served.versioned else []),
        *(["history-instance"] if served.history else []),
        "search-type",
    ]
    params = [SearchParam(name=each.name, type=each.kind, documentation=each.says) for each in served.params]
    patients = [SearchParam(name=name, type="reference", documentation=PATIENT) for name in served.patient]
    return RestResource(
        type=served.name,
        documentation=served.says,
        interaction=tuple(Code(code=each) for each in interactions),
        versioning="versioned" if served.versioned else "no-version",
        conditional_read="not-match",
        search_param=(*patients, *params),
    )

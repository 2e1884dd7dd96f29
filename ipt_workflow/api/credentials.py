"""With what people sign in where no identity provider does it: links to enrol, and what is taken away again."""

from litestar import Response, delete, get, post
from litestar.params import FromPath

from ipt_workflow.api import addresses
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.attempts import SignInAttempts
from ipt_workflow.service.access.enrolment import CredentialsView, Enrolment, EnrolmentLink


def _enrolment(request: ApiRequest) -> Enrolment:
    clinic = services_of(request).clinic
    attempts = SignInAttempts(clinic, clinic.installation.sign_in_limits)
    return Enrolment(clinic, attempts, f"{addresses.of_pages(request)}/o/{clinic.organisation}")


@post("/v1/people/{person_id:str}/enrolment-link", summary="Make a link with which a person enrols", tags=["people"])
async def enrolment_link(request: ApiRequest, person_id: FromPath[str]) -> Response[EnrolmentLink]:
    """A link that works once, for 24 hours: with it the person makes a passkey, or sets a password where the organisation has them.

    A new link takes the place of one that was not used. An administrator must have signed in within the last minutes.
    """
    return Response(await _enrolment(request).make_link(principal_of(request), person_id), status_code=201)


@get("/v1/people/{person_id:str}/credentials", summary="With what a person signs in", tags=["people"])
async def credentials(request: ApiRequest, person_id: FromPath[str]) -> CredentialsView:
    """The passkeys of a person, how many recovery codes are left, and when their password was changed."""
    return await _enrolment(request).of(principal_of(request), person_id)


@delete("/v1/people/{person_id:str}/credentials", summary="Take away with what a person signs in", tags=["people"], status_code=204)
async def revoke(request: ApiRequest, person_id: FromPath[str]) -> None:
    """Removes passkeys, recovery codes, password and link of a person, and ends their sessions: such as when a device is stolen."""
    await _enrolment(request).revoke(principal_of(request), person_id)


HANDLERS = (enrolment_link, credentials, revoke)

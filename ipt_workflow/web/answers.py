"""What an error says on a page, in the reader's language."""

from collections.abc import Iterator

from ipt_workflow.access import oidc, passwords
from ipt_workflow.ehr.smart import launch
from ipt_workflow.errors import IptError, ReauthenticationNeeded, SignInThrottled
from ipt_workflow.service.access import attempts, enrolment, sessions, sign_in, sign_in_links
from ipt_workflow.service.clinic import NOT_SEEN
from ipt_workflow.web.language import _, gettext, n_, noted, reader

# Sentences of the service that a page says as they are.
TEXTS = frozenset({
    attempts.NOT_ACCEPTED, enrolment.NO_LINK, enrolment.NOT_ENROLLED, enrolment.NOT_MADE, enrolment.TAKEN, launch.NO_LAUNCH, launch.NOT_KNOWN,
    oidc.UNLIKE_OURS, sessions.NO_LONGER, sessions.NO_SESSION, sign_in.EXPIRED, sign_in.NO_ROLE, sign_in.NO_SIGN_IN, sign_in.NOT_KNOWN,
    sign_in_links.NO_LINK, NOT_SEEN,
    noted("You do not have this role. Choose one of yours."),
    noted("You proved to be somebody else than the person who is signed in here."),
})  # fmt: skip

# The kinds of errors whose own sentence is for programs, and those of which it may name what only they know.
REWORDED = {
    "malformed": noted("The form cannot be read. Load the page again."),
    "invalid": noted("Something in the form is not valid. Go back and check it."),
    "stale-version": noted("Somebody else wrote meanwhile. Load the page again and look at what is new."),
    "version-required": noted("The form lacks what it was written on. Load the page again."),
    "key-in-flight": noted("This is being recorded already. Wait a moment, then load the page again."),
    "key-reused": noted("This form was sent before with other contents. Load the page again."),
    "transition-refused": noted("The rules do not allow this now. Look at the course for what is missing."),
    "group-refused": noted("The rules of the group do not allow this. Look at the group for what is missing."),
    "group-session-refused": noted("The session cannot be recorded for every member. Look at the group for what is missing."),
    "trigger-not-permitted": noted("Your role does not do this. Ask somebody whose role does."),
}
BY_SLUG = REWORDED | {
    "unauthenticated": noted("You are not signed in, or your session has ended. Sign in again."),
    "sign-in-refused": noted("That did not let you in. Start the sign-in again, or ask your administrator."),
    "provider-unusable": noted("The identity provider cannot be reached. Try again; if it stays, ask your administrator."),
    "forbidden": noted("Your role may not see or do this. Ask somebody whose role may."),
    "person-needed": noted("Only a person who is signed in can do this."),
    "not-found": noted("There is nothing here, or nothing that you may see. Check the address."),
    "emergency-reviewed": noted("A supervisor has reviewed the emergency access already."),
    "record-held": noted("There is a hold on the client's record. Nothing of it is erased until the hold has ended."),
    "processing-restricted": noted("Processing of this client's data is restricted. Those who treat the client read it."),
    "quota-exceeded": noted("Too many pages were asked for. Wait a moment, then try again."),
    "busy": noted("The service is busy. Wait a moment, then try again."),
}
PASSWORD_FAULTS = {
    f"must have {passwords.LENGTH_MIN} to {passwords.LENGTH_MAX} characters; several words are easy to remember": noted(
        "The password must have 15 to 128 characters; several words are easy to remember."
    ),
    f"must have at least {passwords.DISTINCT_MIN} different characters": noted(
        "The password must have at least 6 different characters."
    ),
    "must not hold your name or the organisation's": noted("The password must not hold your name or the organisation's."),
    "is not the one that your app shows now; check the clock of your device": noted(
        "The code is not the one that your app shows now; check the clock of your device."
    ),
}


def said(error: IptError, slug: str) -> str:
    """What a page says of an error of this kind."""
    if isinstance(error, ReauthenticationNeeded):
        minutes = int(error.within.total_seconds() // 60)
        return _("Sign in again: this needs a sign-in within the last %(minutes)s minutes.", minutes=minutes)
    if isinstance(error, SignInThrottled):
        return n_(
            "Somebody tried to sign in too often. Try again in 1 minute.",
            "Somebody tried to sign in too often. Try again in %(num)s minutes.",
            -(-error.retry_seconds // 60),
        )
    text = str(error)
    if text in TEXTS:
        return gettext(text)
    own = BY_SLUG.get(slug)
    return gettext(own) if own and (slug in REWORDED or reader().language != "en") else text


def every_text() -> Iterator[str]:
    """The sentences of the service, for the catalogues."""
    yield from TEXTS

"""Everything that can go wrong, as one tree.

IptError
├── Faulty                     lists every fault at once
│   ├── SettingsInvalid            a setting is unknown or has a bad value; the service does not start
│   ├── ProtocolInvalid            a file under config/ is faulty, or changed under an old version
│   └── CommandInvalid             the command is well-formed, but some of its fields are wrong
├── CommandMalformed           the body is not JSON, or the line is not a record
├── TransitionRefused          rules refuse the trigger; it lists all of them
├── Unauthenticated            the token is missing, unknown, expired or revoked
│   ├── SignatureInvalid           a message is not signed with a known key, or not at this time
│   ├── SessionOver                nobody is signed in, or their session has ended
│   └── ReauthenticationNeeded     the person must prove again who they are, since they did so too long ago
├── TokenRefused               a system asks for an access token, and does not get one
├── ScopeMissing               the scopes of the caller's token do not cover this
├── Forbidden                  the caller's role does not allow this
│   └── TriggerNotPermitted        the caller's role may never fire this trigger
│       └── EmergencyWriteOnly         the caller sees the course by emergency access alone, which does not allow this trigger
├── PersonNeeded               only a person who signed in may do this, and no fixed token
├── SignInRefused              an identity provider's answer, a link or a choice of role does not let somebody in
├── ProviderUnusable           an identity provider cannot be reached, or its description is not what it must be
├── SignInThrottled            somebody tried to sign in too often, at one account or from one address
├── SourceUnbound              the caller's token is bound to no source, or to a disabled one
├── NotFound                   the thing does not exist, or the caller may not see it
├── VersionRequired            a write does not name the version it was decided on
├── StaleVersion               the course has moved on since that version
│   ├── GroupStale                 the group has moved on since that version
│   └── ProposalDecided            the proposal no longer waits: somebody decided it, or it lapsed
├── EmergencyReviewed          a supervisor has reviewed the emergency access already
├── RecordHeld                 a hold on the client's record stops an erasure or the end of a retention period
├── ProcessingRestricted       processing of the client's data is restricted: the caller may not read it, or not do this
├── GroupRefused               rules of groups refuse the write; it lists all of them
├── GroupSessionRefused        a session for all members or nobody was refused; it lists the courses that refused
├── KeyReused                  the idempotency key was used before with another body
├── NoticeReused               the notice's id was used before with another body
├── KeyInFlight                a request with the same idempotency key is still running
├── Busy                       the service cannot take the request now; the caller may try again
│   ├── LongRequestsFull           as many exports and verifications run as may run at once
│   └── Locked                     another transaction holds a row that the write needs
├── QuotaExceeded              a credential, an organisation or an address sent more requests than it may
├── SecretUnreadable           a stored secret was sealed under a key that the operator did not give
├── JournalBroken              a stored entry is not the one that was written
└── DatabaseNotReady           the database is missing, or its migrations are not those of this version
    ├── Unreachable                the database does not answer now; the caller may try again
    └── ReadOnly                   the database can be read, and not written: a standby, a read-only file, a role without rights
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong. `where` is a path (`data.sessions`, `ipt.toml: contract.weeks`); `message` says what would be right."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


Severity = Literal["hard", "soft"]
Parameter = str | int | tuple[str | int, ...]  # what fills one place of a refusal's sentence


class Remedy(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trigger that helps, and the roles that may fire it. `data` is its data, where the rule knows it.

    `via` says how, unless it is simply fired: as a `proposal`, which a supervisor then cosigns, or `together` with the refused command.
    `course` is `other` if it is fired on the client's other open course.
    """

    trigger: str
    roles: tuple[str, ...]
    data: dict[str, Any] = {}
    via: Literal["proposal", "together"] | None = None
    course: Literal["other"] | None = None


class Break(msgspec.Struct, frozen=True):
    """A later entry that would no longer pass its rules if this were placed before it; or a moving entry that the other course refuses."""

    seq: int
    trigger: str
    refusals: "tuple[Refusal, ...]"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why one rule refuses a trigger, and what would help. A soft rule can be overridden, a hard one cannot.

    `message_id` and `parameters` say the same as `message`, for translation. Refusals stored before they existed have neither.
    `current` and `required` say where the course is and where it must be, in words or numbers of the field. `earliest` is the first
    moment at which waiting alone satisfies the rule. `source` is a key of `docs/rules.md`.
    """

    rule: str
    severity: Severity
    message: str
    message_id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Parameter] | msgspec.UnsetType = msgspec.UNSET
    current: Any
    required: Any
    remedies: tuple[Remedy, ...] = ()
    earliest: dt.datetime | None = None
    source: str
    breaks: tuple[Break, ...] | msgspec.UnsetType = msgspec.UNSET


class IptError(Exception):
    """Any error this package raises on purpose."""


class Faulty(IptError):
    """An error that lists every fault at once."""

    heading = "There are faults"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([f"{self.heading}:", *(f"  {fault}" for fault in self.faults)]))


class SettingsInvalid(Faulty):
    """A setting is unknown or has a bad value. The service does not start."""

    heading = "The service cannot start with these settings"


class ProtocolInvalid(Faulty):
    """A file under config/ is faulty, or changed under an old version."""

    heading = "The files under config/ are not valid"


class CommandInvalid(Faulty):
    """The command is well-formed, but some of its fields are wrong."""

    heading = "The command is not valid"


class CommandMalformed(IptError):
    """The body is not JSON, or the line is not a record."""


class TransitionRefused(IptError):
    """Rules refuse the trigger; `refusals` lists all of them. `together` is its place among several commands, from 0."""

    def __init__(
        self, trigger: str, state: str | None, version: int, refusals: Sequence[Refusal], together: int | None = None
    ) -> None:
        self.trigger = trigger
        self.state = state
        self.version = version
        self.refusals = tuple(refusals)
        self.together = together
        super().__init__(self.summary)

    @property
    def command(self) -> str:
        """The refused command: `begin_middle`, or with its place among several `together[1] begin_middle`."""
        return self.trigger if self.together is None else f"together[{self.together}] {self.trigger}"

    @property
    def summary(self) -> str:
        """`begin_middle: 2 rules are not met`, or `together[1] begin_middle: …`: safe to show and to log."""
        return f"{self.command}: {_rules_not_met(self.refusals)}"


def _rules_not_met(refusals: Sequence[Refusal]) -> str:
    return f"{len(refusals)} rule{' is' if len(refusals) == 1 else 's are'} not met"


class Unauthenticated(IptError):
    """The token is missing, unknown, expired or revoked."""


class SignatureInvalid(Unauthenticated):
    """A message is not signed, not signed with a known key, or not signed at this time."""


class TokenRefused(IptError):
    """A system asks for an access token, and does not get one. `code` is one of RFC 6749, 5.2."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)


class ScopeMissing(IptError):
    """The scopes of the caller's token do not cover this. `scope` is the one that would."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"The token's scopes do not cover this: it needs {scope}. Ask an administrator for it.")


class SessionOver(Unauthenticated):
    """Nobody is signed in, or their session has ended. `organisation` is where they were signed in, if that is known."""

    def __init__(self, organisation: str | None = None) -> None:
        self.organisation = organisation
        super().__init__("You are not signed in, or your session has ended. Sign in again.")


class ReauthenticationNeeded(Unauthenticated):
    """The person must prove again who they are: they did so longer ago than `within`."""

    def __init__(self, within: dt.timedelta) -> None:
        self.within = within
        minutes = int(within.total_seconds() // 60)
        super().__init__(f"Sign in again: this needs a sign-in within the last {minutes} minutes.")


class PersonNeeded(IptError):
    """Only a person who signed in may do this, and no fixed token."""

    def __init__(self) -> None:
        super().__init__("A token cannot do this. Sign in as a person, and use the access token of that session.")


class SignInRefused(IptError):
    """An identity provider's answer, a link or a choice of role does not let somebody in. `why` names the check that failed.

    `forbidden` says that the person is known to their provider, and may not come in.
    """

    def __init__(self, why: str, message: str, *, forbidden: bool = False) -> None:
        self.why = why
        self.forbidden = forbidden
        super().__init__(message)


class SignInThrottled(IptError):
    """Somebody tried to sign in too often, at one account or from one address. Try again after `wait`."""

    def __init__(self, wait: dt.timedelta) -> None:
        self.retry_seconds = max(1, math.ceil(wait.total_seconds()))
        minutes = math.ceil(self.retry_seconds / 60)
        super().__init__(f"Somebody tried to sign in too often. Try again in {minutes} minute{'' if minutes == 1 else 's'}.")


class ProviderUnusable(IptError):
    """An identity provider cannot be reached, or its description is not what it must be."""


class Forbidden(IptError):
    """The caller's role does not allow this."""

    def __init__(self, question: str, role: str, allowed: Sequence[str]) -> None:
        self.question = question
        self.role = role
        self.allowed = tuple(allowed)
        super().__init__(f"A caller with the role {role} may not {question}; {' or '.join(allowed) or 'nobody'} may.")


class TriggerNotPermitted(Forbidden):
    """The caller's role may never fire this trigger."""

    def __init__(self, trigger: str, role: str, allowed: Sequence[str]) -> None:
        self.trigger = trigger
        super().__init__(f"fire {trigger}", role, allowed)


class EmergencyWriteOnly(TriggerNotPermitted):
    """The caller sees the course by emergency access alone, which does not allow this trigger."""

    def __init__(self, trigger: str, role: str, triggers: Sequence[str]) -> None:
        super().__init__(trigger, role, ())
        self.args = (f"Emergency access does not allow {trigger}; it allows {', '.join(triggers)}.",)


class SourceUnbound(IptError):
    """The caller's token is bound to no source, or to a disabled one."""

    def __init__(self) -> None:
        super().__init__("The token is bound to no source, or to a disabled one. Ask an administrator for a token of your source.")


class NotFound(IptError):
    """The thing does not exist, or the caller may not see it."""


class VersionRequired(IptError):
    """A write to a course or group does not name in If-Match the version it was decided on."""


class StaleVersion(IptError):
    """The course has moved on since the version that the write names. `current` is its present version."""

    subject = "course"

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"The {self.subject} is at version {current} now. Read it again, then decide again.")


class GroupStale(StaleVersion):
    """The group has moved on since the version that the write names. `current` is its present version."""

    subject = "group"


class ProposalDecided(StaleVersion):
    """The proposal no longer waits: somebody decided it, or it has lapsed because of `reason`. `current` is the course's version."""

    SENTENCES: ClassVar = {
        "course_ended": "the course has ended",
        "moved_on": "the course has moved on from the state that it was meant for",
        "proposer": "the person who proposed it may not fire it any more",
        "revised": "its proposer has proposed a revised command",
    }

    def __init__(self, current: int, status: str, reason: str | None = None) -> None:
        super().__init__(current)
        why = f"has lapsed: {self.SENTENCES[reason]}" if reason else f"is {status} already"
        self.args = (f"The proposal {why}. Propose the command again if it is still wanted.",)


class EmergencyReviewed(IptError):
    """A supervisor has reviewed the emergency access already, and their judgement stands."""

    def __init__(self) -> None:
        super().__init__("This emergency access has been reviewed already. Read it to see the review.")


class RecordHeld(IptError):
    """A hold on the client's record stops an erasure or the end of a retention period. `holds` are those in force, in words."""

    def __init__(self, holds: Sequence[str]) -> None:
        self.holds = tuple(holds)
        super().__init__(f"There is a hold on the client's record: {'; '.join(holds)}. End it first, if it is over.")


class ProcessingRestricted(IptError):
    """Processing of the client's data is restricted (GDPR 18), on this `ground`. The caller does not treat the client, or may not do this."""

    def __init__(self, ground: str) -> None:
        self.ground = ground
        super().__init__(f"Processing of this client's data is restricted: {ground}. Those who treat the client read it.")


class GroupRefused(IptError):
    """Rules of groups refuse the write; `refusals` lists all of them."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__(_rules_not_met(self.refusals))


class MemberRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A member's course that refused a session, its version then, and why. `notice` is the held record in the inbox."""

    course: str
    state: str
    version: int
    why: str | None
    refusals: tuple[Refusal, ...]
    notice: str | None = None


class GroupSessionRefused(IptError):
    """A session, or its signature, for all members or nobody was refused. `members` lists the courses that refused it."""

    def __init__(self, members: Sequence[MemberRefused], trigger: str = "record_session") -> None:
        self.members = tuple(members)
        self.trigger = trigger
        super().__init__(f"{trigger}: {len(self.members)} of the members' courses refuse{'s' if len(self.members) == 1 else ''} it")


class KeyReused(IptError):
    """The idempotency key was used before with another body."""


class NoticeReused(IptError):
    """The notice's id was used before with another body."""


class SubscriptionExists(IptError):
    """Another subscription of the organisation has the same terms. `existing` is its id."""

    def __init__(self, existing: str) -> None:
        self.existing = existing
        super().__init__(
            f"Subscription {existing} has the same URL, types, courses and scope. Use it, or delete it first. "
            "If it is disabled, resume it; for a new secret, rotate its keys."
        )


class KeyInFlight(IptError):
    """A request with the same idempotency key is still running."""


class Busy(IptError):
    """The service cannot take the request now. The caller may try again after `retry_seconds`."""

    retry_seconds = 1


class LongRequestsFull(Busy):
    """As many exports and verifications run as the process may run at once."""

    retry_seconds = 10

    def __init__(self) -> None:
        super().__init__("Other exports or verifications are running. Try again when they have ended.")


class Locked(Busy):
    """Another transaction holds a row that the write needs. Other writes may succeed."""


class QuotaExceeded(IptError):
    """More requests came than may come. `policy` says whose: credential, organisation or address. Try again after `retry_seconds`."""

    WHOSE: ClassVar = {
        "credential": "this credential",
        "organisation": "this organisation",
        "address": "this address without a credential",
    }

    def __init__(self, policy: str, retry_seconds: int) -> None:
        self.policy = policy
        self.retry_seconds = retry_seconds
        super().__init__(
            f"Too many requests of {self.WHOSE[policy]}. Try again after the seconds in Retry-After, and send fewer at a time."
        )


class SecretUnreadable(IptError):
    """A stored secret was sealed under a key that the operator did not give."""


class JournalBroken(IptError):
    """A stored entry is not the one that was written."""


class DatabaseNotReady(IptError):
    """The database is missing, or its migrations are not those of this version."""


class Unreachable(DatabaseNotReady):
    """The database does not answer now. The caller may try again."""


class ReadOnly(DatabaseNotReady):
    """The database can be read, and not written: a standby, a read-only server or file, or a role without the rights."""

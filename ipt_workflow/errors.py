"""Everything that can go wrong, as one tree.

IptError
├── SettingsInvalid        a setting is unknown or has a bad value; the service does not start
├── ProtocolInvalid        a file under config/ is faulty, or changed under an old version
├── CommandMalformed       the body is not the JSON (or the line not the record) it should be
├── CommandInvalid         well-formed, but some fields are wrong; every one is named
├── TransitionRefused      rules stand against the trigger; every one is named
├── Unauthenticated        no token, or one that is unknown, expired or revoked
│   └── SignatureInvalid       a signed message is not from who holds the key, or not from now
├── Forbidden              the caller may see this, but not do that
│   └── TriggerNotPermitted    the caller's role may never fire this trigger
├── NotFound               no such thing, or none that the caller may see
├── VersionRequired        a write to a course without the version it was decided on
├── StaleVersion           the course has moved on since that version
│   └── GroupStale             the group has
├── GroupRefused           rules of groups stand against it; every one is named
├── GroupSessionRefused    of a session that is for all members or for nobody: the courses that refused it
├── KeyReused              an idempotency key came back with another body
├── NoticeReused           a notice's id came back with another body
├── KeyInFlight            a request with the same idempotency key is still running
├── Busy                   the store cannot take the write now; it may be tried again
├── SecretUnreadable       a stored secret was sealed under a key that is not given
├── JournalBroken          a stored entry is not what was written
└── DatabaseNotReady       the database is missing, or not at this version's migrations
    └── Unreachable            it does not answer just now; it may be tried again
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: `where` is a path (`data.sessions`, `ipt.toml: contract.weeks`), `message` says what would be right."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


Severity = Literal["hard", "soft"]
Parameter = str | int | tuple[str | int, ...]  # what fills one place of a refusal's sentence


class Remedy(msgspec.Struct, frozen=True):
    """A trigger that would help, and who may fire it."""

    trigger: str
    roles: tuple[str, ...]


class Break(msgspec.Struct, frozen=True):
    """A later entry that would no longer hold if this were placed before it."""

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
    """A setting is unknown or has a bad value."""

    heading = "The service cannot start with these settings"


class ProtocolInvalid(Faulty):
    """A protocol or instrument file is faulty."""

    heading = "The files under config/ are not valid"


class CommandInvalid(Faulty):
    """The command is well-formed, but some of its fields are wrong."""

    heading = "The command is not valid"


class CommandMalformed(IptError):
    """The body cannot be read as a command at all."""


class TransitionRefused(IptError):
    """Rules stand against the trigger."""

    def __init__(self, trigger: str, state: str | None, version: int, refusals: Sequence[Refusal]) -> None:
        self.trigger = trigger
        self.state = state
        self.version = version
        self.refusals = tuple(refusals)
        super().__init__(self.summary)

    @property
    def summary(self) -> str:
        """`begin_middle: 2 rules are not met`: safe to show and to log."""
        n = len(self.refusals)
        return f"{self.trigger}: {n} rule{' is' if n == 1 else 's are'} not met"


class Unauthenticated(IptError):
    """A token is needed, and the one given (if any) is unknown, expired or revoked."""


class SignatureInvalid(Unauthenticated):
    """A message is not signed as it should be: by no key that is known, at another time, or not at all."""


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


class NotFound(IptError):
    """There is no such thing, or none that the caller may see."""


class VersionRequired(IptError):
    """A write to a course must name the version it was decided on, in If-Match."""


class StaleVersion(IptError):
    """The course has moved on."""

    def __init__(self, current: int) -> None:
        self.current = current
        super().__init__(f"The course is at version {current} now. Read it again and decide on what it has become.")


class GroupStale(StaleVersion):
    """The group has moved on."""

    def __init__(self, current: int) -> None:
        super().__init__(current)
        self.args = (f"The group is at version {current} now. Read it again and decide on what it has become.",)


class GroupRefused(IptError):
    """Rules of groups stand against it."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__(f"{len(self.refusals)} rule{' is' if len(self.refusals) == 1 else 's are'} not met")


class MemberRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A member's course that refused a session, at which version, and why. `notice` is what of it waits in the inbox."""

    course: str
    state: str
    version: int
    why: str | None
    refusals: tuple[Refusal, ...]
    notice: str | None = None


class GroupSessionRefused(IptError):
    """Some members' courses refuse a session that is to be recorded for all of them or for nobody."""

    def __init__(self, members: Sequence[MemberRefused]) -> None:
        self.members = tuple(members)
        super().__init__(
            f"record_session: {len(self.members)} of the members' courses refuse{'s' if len(self.members) == 1 else ''} it"
        )


class KeyReused(IptError):
    """The idempotency key was used before with another body."""


class NoticeReused(IptError):
    """The id of a notice was used before with another body."""


class KeyInFlight(IptError):
    """A request with the same idempotency key is still running."""


class Busy(IptError):
    """The store cannot take the write now."""


class SecretUnreadable(IptError):
    """A stored secret cannot be opened with the keys the operator gave."""


class JournalBroken(IptError):
    """A stored entry is not what was written."""


class DatabaseNotReady(IptError):
    """The database is missing, or not at this version's migrations."""


class Unreachable(DatabaseNotReady):
    """The database does not answer just now."""

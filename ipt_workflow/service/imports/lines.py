"""The lines of a file: one trigger of a course, or several together; or one action of a group."""

from typing import Any, Literal

import msgspec

from ipt_workflow.course.triggers import OPENINGS, Command, Override, Role
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import ClientRef, Code, FileKey, Moment, Person, Seq, Text

ActionOfGroup = Literal["create", "join", "leave", "facilitators", "record", "sign"]
LINE_BYTES_MAX = 1_048_576
OF_A_SESSION = frozenset({"record", "sign"})


class CosignedBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who agreed to an act that needs a second person."""

    person: Person
    role: Role = "supervisor"


class LineOfCourse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `trigger`, or commands `together`. `person` and `role` name who did it, by default the course's therapist.

    `cosigned_by` agreed to it. `opens` is the file's name of the course that an `open_followup` opens.
    """

    course: FileKey
    trigger: str | None = None
    together: tuple[Command, ...] = ()
    data: dict[str, Any] = {}
    occurred_at: Moment | None = None
    reason: Text | None = None
    override: Override | None = None
    person: Person | None = None
    role: Role = "therapist"
    cosigned_by: CosignedBy | None = None
    client_ref: ClientRef | None = None
    protocol: Code = "ipt"
    protocol_version: Seq | None = None
    therapist: Person | None = None
    opens: FileKey | None = None

    @property
    def about(self) -> str:
        return self.course

    @property
    def gives(self) -> tuple[str, ...] | None:
        """The name that the line gives, after the kind of thing that it names."""
        name = self.course if self.trigger in OPENINGS else self.opens
        return ("course", name) if name else None

    @property
    def commands(self) -> tuple[Command, ...]:
        """The line's commands: several together, or one."""
        return self.together or (Command(self.trigger or "", self.data, self.occurred_at, self.reason, self.override),)


class LineOfGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An action of a group. `data` is its body over HTTP, with the file's names of courses. `session` is the file's name of one.

    `person` and `role` name who did it, by default the group's facilitator.
    """

    group: FileKey
    action: ActionOfGroup
    session: FileKey | None = None
    data: dict[str, Any] = {}
    person: Person | None = None
    role: Role = "therapist"

    @property
    def about(self) -> str:
        return self.group

    @property
    def gives(self) -> tuple[str, ...] | None:
        """The name that the line gives, after the kind of thing that it names."""
        if self.action == "create":
            return ("group", self.group)
        return ("session", self.group, self.session) if self.action == "record" and self.session else None


Line = LineOfCourse | LineOfGroup


def line_of(raw: bytes) -> Line:
    """The line in these bytes. Raises CommandMalformed or CommandInvalid."""
    if len(raw) > LINE_BYTES_MAX:
        raise CommandMalformed(f"has more than {LINE_BYTES_MAX} bytes")
    value = json_value(raw)
    if not isinstance(value, dict):
        raise CommandMalformed("must be a JSON object")
    shape: type[Line] = LineOfGroup if "group" in value else LineOfCourse
    line = shaped(shape, value)
    faults = _faults_of_course(line, value) if isinstance(line, LineOfCourse) else _faults_of_group(line)
    if faults:
        raise CommandInvalid(faults)
    return line


def _faults_of_course(line: LineOfCourse, value: dict[str, Any]) -> list[Fault]:
    of_one = set(Command.__struct_fields__).intersection(value)
    if line.together and of_one:
        return [Fault(name, "belongs to each command of `together`") for name in sorted(of_one)]
    if line.trigger is None and not line.together:
        return [Fault("trigger", "is required, or commands in `together`")]
    if line.cosigned_by and (line.together or line.trigger in OPENINGS):
        return [Fault("cosigned_by", "belongs to a line of one trigger on a course that is open already")]
    if line.opens and line.trigger != "open_followup":
        return [Fault("opens", "names the course that open_followup opens: remove it from this line")]
    return []


def _faults_of_group(line: LineOfGroup) -> list[Fault]:
    if line.action in OF_A_SESSION and line.session is None:
        return [Fault("session", f"is required: {line.action} names the session by a name of the file's own")]
    if line.action not in OF_A_SESSION and line.session is not None:
        return [Fault("session", "belongs to record and sign")]
    return []

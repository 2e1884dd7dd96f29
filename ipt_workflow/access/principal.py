"""Principals: who calls, in which role, by which way."""

import msgspec

from ipt_workflow.course.context import Via
from ipt_workflow.course.rules import Actor
from ipt_workflow.course.triggers import Role


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller whose token, or whose place at the command line, has been verified. `person` is never reused."""

    person: str
    role: Role
    via: Via = "api"
    request_id: str | None = None

    @property
    def actor(self) -> Actor:
        return Actor(self.person, self.role, self.via)

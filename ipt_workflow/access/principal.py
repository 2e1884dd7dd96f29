"""Principals: the caller, their role, and how they reached us."""

import datetime as dt

import msgspec

from ipt_workflow.course.context import Via
from ipt_workflow.course.rules import Actor
from ipt_workflow.course.triggers import Role

NOBODY = "nobody"  # in the audit log, the role of those who were not let in


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller who was verified by a token, or who uses the command line. `person` is never reused.

    `token` is the id of the token, if there was one, and `session` that of a person's session. `authenticated_at` is when the person
    last proved who they are; a token never did. `scopes` narrow what the role allows. `source` is the EHR whose messages the caller
    may read, if their token is bound to one. `importing`: the caller repeats what was recorded elsewhere, by people who may have left.
    """

    person: str
    role: Role
    via: Via = "api"
    request_id: str | None = None
    token: str | None = None
    source: str | None = None
    session: str | None = None
    authenticated_at: dt.datetime | None = None
    scopes: tuple[str, ...] | None = None
    importing: bool = False

    @property
    def actor(self) -> Actor:
        return Actor(self.person, self.role, self.via)

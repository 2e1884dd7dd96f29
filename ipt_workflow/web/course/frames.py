"""What a form asks beside the data of a trigger: when it happened and why, and of an opening for whom and under which form of IPT."""

import msgspec

from ipt_workflow.values.types import ClientRef, Code, Moment, Person, Text


class CommandFrame(msgspec.Struct, frozen=True, kw_only=True):
    occurred_at: Moment | None = None
    reason: Text | None = None


class OpeningFrame(msgspec.Struct, frozen=True, kw_only=True):
    client_ref: ClientRef
    protocol: Code
    therapist: Person | None = None
    occurred_at: Moment | None = None
    reason: Text | None = None

"""Payloads about supervision: that a course was discussed, between whom, and what was agreed."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import Code, Person, Text, Texts

SUPERVISEES_MAX = 20

SupervisionKind = Literal["individual", "group", "live", "tape"]
SupervisionMinutes = Annotated[int, Meta(ge=1, le=600)]
Supervisees = Annotated[tuple[Person, ...], Meta(min_length=1, max_length=SUPERVISEES_MAX)]


class RecordSupervision(Payload, frozen=True, kw_only=True):
    """`minutes` are those of the whole meeting, and `meeting` is the name that the records of one meeting share."""

    supervisor: Person
    supervisees: Supervisees
    kind: SupervisionKind
    minutes: SupervisionMinutes
    meeting: Code | None = None
    next_on: dt.date | None = None
    discussed: Text | None = None
    actions: Texts | None = None

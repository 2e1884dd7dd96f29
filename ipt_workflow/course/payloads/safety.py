"""Payloads about risk, consent and referral to others."""

from typing import Annotated

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    Consenting,
    ConsentScope,
    RiskLevel,
    SharingPurpose,
    Text,
    Texts,
)


class AssessRisk(Payload, frozen=True, kw_only=True):
    level: RiskLevel
    plan: Text | None = None
    told: Texts | None = None


class Consent(Payload, frozen=True, kw_only=True):
    scope: ConsentScope
    who: Consenting = "client"
    purposes: Annotated[
        tuple[SharingPurpose, ...],
        Meta(max_length=6, description="Of `sharing`: only for these. Left out: for all that serves care."),
    ] = ()
    comment: Text | None = None


class ReferOn(Payload, frozen=True, kw_only=True):
    target: Text
    urgent: bool = False
    plan: Text | None = None

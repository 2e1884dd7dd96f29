"""Payloads about risk, consent and referral to others."""

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    Consenting,
    ConsentScope,
    RiskLevel,
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
    comment: Text | None = None


class ReferOn(Payload, frozen=True, kw_only=True):
    target: Text
    urgent: bool = False
    plan: Text | None = None

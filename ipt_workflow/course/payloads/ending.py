"""Payloads about pauses and the ending."""

import datetime as dt
from typing import Literal

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    ClientOutcome,
    Count,
    EndedEarly,
    RiskLevel,
    Text,
    Texts,
)


class Complete(Payload, frozen=True, kw_only=True):
    outcome: ClientOutcome
    end_code: Literal["46", "96"] = "46"
    comment: Text | None = None


class Pause(Payload, frozen=True, kw_only=True):
    planned_return: dt.date


class EndEarly(Payload, frozen=True, kw_only=True):
    """Code 46, agreed in the last phase, also tells the outcome. `attempts` to reach the client are required unless the ending was
    agreed or the client has died (17, 49), and `risk_status` unless the client has died.
    """

    end_code: EndedEarly
    last_contact: dt.date
    risk_status: RiskLevel | None = None
    attempts: Count | None = None
    outcome: ClientOutcome | None = None
    onward_plan: Text | None = None


class AnnounceEnding(Payload, frozen=True, kw_only=True):
    ending_on: dt.date | None = None
    feelings: Text | None = None


class RecordGains(Payload, frozen=True, kw_only=True):
    gains: Texts
    unresolved: Text | None = None


class RecordIndependence(Payload, frozen=True, kw_only=True):
    does_alone: Texts


class PlanForRecurrence(Payload, frozen=True, kw_only=True):
    """The three parts of the plan (seed). None may be empty."""

    anticipate: Texts
    identify: Texts
    manage: Texts


class DecideContinuation(Payload, frozen=True, kw_only=True):
    decision: Literal["none", "continuation", "maintenance", "alternative", "referral"]
    plan: Text | None = None

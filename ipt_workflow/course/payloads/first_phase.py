"""Payloads of the first phase: evaluation, history, inventory, timeline, formulation, sick role."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    LIST_MAX,
    SEALED,
    Code,
    FormulationVersion,
    HistoryPart,
    Text,
    Texts,
)


class RecordEvaluation(Payload, frozen=True, kw_only=True):
    """The diagnostic evaluation (domain.md 1.3 A1). A diagnosis makes it complete."""

    diagnosis: Text | None = None
    criteria: Text | None = None
    severity: Text | None = None
    differential: Text | None = None
    risk_screen: Text | None = None
    medication_need: Text | None = None


class RecordHistory(Payload, frozen=True, kw_only=True):
    """The psychiatric history (domain.md 1.3 A2). `not_obtained` names parts that could not be obtained."""

    onset: Text | None = None
    previous_episodes: Text | None = None
    past_treatment: Text | None = None
    family_history: Text | None = None
    medical_and_substance: Text | None = None
    medication: Text | None = None
    suicide_history: Text | None = None
    not_obtained: tuple[HistoryPart, ...] = ()


class InventoryPerson(Payload, frozen=True, kw_only=True):
    """One person of the interpersonal inventory (domain.md 1.5). `id` is a label within this course, not a name.

    `deceased` is also a child who was never born.
    """

    id: Code
    deceased: bool = False
    name: Text | None = None
    relationship: Text | None = None
    closeness: Text | None = None
    expectations: Text | None = None
    satisfying: Text | None = None
    conflicts: Text | None = None
    wanted_change: Text | None = None
    change_near_onset: Text | None = None
    support: Text | None = None
    died_on: Annotated[dt.date, Meta(extra=SEALED)] | None = None


class RecordInventory(Payload, frozen=True, kw_only=True):
    """The interpersonal inventory with its four sections (seed). Gates read the union of all versions."""

    people: Annotated[tuple[InventoryPerson, ...], Meta(max_length=LIST_MAX)] = ()
    current_relationships: Text | None = None
    capacity_for_intimacy: Text | None = None
    social_patterns: Text | None = None
    changes_in_relationships: Text | None = None


class TimelineEvent(Payload, frozen=True, kw_only=True):
    when: Text
    event: Text
    symptom_change: Text | None = None


class RecordTimeline(Payload, frozen=True, kw_only=True):
    events: Annotated[tuple[TimelineEvent, ...], Meta(min_length=1, max_length=LIST_MAX)]


class Vulnerabilities(Payload, frozen=True, kw_only=True):
    attachment_style: Text | None = None
    genetic_vulnerability: Text | None = None
    personality: Text | None = None
    temperament: Text | None = None


class RecordFormulation(Payload, frozen=True, kw_only=True):
    """The interpersonal formulation: crisis, biosocial vulnerabilities, social support (seed)."""

    crisis: Text | None = None
    vulnerabilities: Vulnerabilities | None = None
    social_support: Text | None = None
    plain_words: Text | None = None  # how the problem area and the illness are connected, in the words used with the client


class AcceptFormulation(Payload, frozen=True, kw_only=True):
    version: FormulationVersion
    response: Literal["accepts", "in_part", "declines"]
    words: Text | None = None


class Exemption(Payload, frozen=True, kw_only=True):
    obligation: Text
    until: dt.date


class AssignSickRole(Payload, frozen=True, kw_only=True):
    """The sick role's four parts (Parsons 1951; domain.md 1.4): named illness, no blame, exemptions that end, recovery work."""

    mode: Literal["full", "limited"]
    illness_named: Text
    no_blame: bool
    exemptions: Annotated[tuple[Exemption, ...], Meta(max_length=LIST_MAX)] = ()
    recovery_work: Texts
    response: Literal["accepts", "ambivalent", "declines"]
    told_others: Text | None = None


class UpdateSickRole(Payload, frozen=True, kw_only=True):
    mode: Literal["full", "limited"] | None = None
    exemptions: Annotated[tuple[Exemption, ...], Meta(max_length=LIST_MAX)] | None = None
    recovery_work: Texts | None = None
    response: Literal["accepts", "ambivalent", "declines"] | None = None
    told_others: Text | None = None


class RelinquishSickRole(Payload, frozen=True, kw_only=True):
    taken_up_again: Texts | None = None

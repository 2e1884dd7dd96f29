"""A refusal: one rule that stands against a trigger, and what would help."""

import datetime as dt
from typing import Any, Literal

import msgspec

Severity = Literal["hard", "soft"]


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
    """`current` and `required` say where the course is and where it would have to be, in words or numbers of the field.

    `earliest` is the earliest moment at which waiting alone would satisfy the rule. `source` is where the rule comes from, by the
    keys of `docs/rules.md`. Only a soft rule may be overridden.
    """

    rule: str
    severity: Severity
    message: str
    current: Any
    required: Any
    remedies: tuple[Remedy, ...] = ()
    earliest: dt.datetime | None = None
    source: str
    breaks: tuple[Break, ...] | msgspec.UnsetType = msgspec.UNSET

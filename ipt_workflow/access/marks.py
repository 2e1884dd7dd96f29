"""Marks on a client's record: a hold, a processing restriction or an objection to secondary use. Each has a ground, and is kept when it has ended.

A *hold* stops erasure and retention. A *processing restriction* (GDPR, article 18) stops reading and writing but for those who treat the client.
An *objection* (GDPR, article 21) takes the client out of every export that names no client, and out of deliveries for secondary purposes.
A processing restriction is of a client, and is no restricted course: that admits named people only (`service/access/restrictions.py`).
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from ipt_workflow.errors import Fault
from ipt_workflow.values.types import ClientRef, Code, Text

MarkKind = Literal["hold", "restriction", "objection"]
KINDS: tuple[MarkKind, ...] = get_args(MarkKind)
NAMES: Mapping[MarkKind, str] = {"hold": "hold", "restriction": "processing restriction", "objection": "objection"}
# What each kind may rest on, in words.
GROUNDS: Mapping[MarkKind, Mapping[str, str]] = {
    "hold": {
        "litigation": "a legal dispute is pending or expected",
        "complaint": "a complaint is being examined",
        "investigation": "an authority investigates",
        "authority_order": "a court or authority ordered it",
        "national_law": "national law demands it",
    },
    "restriction": {
        "accuracy_contested": "the client contests the accuracy (GDPR 18(1)(a))",
        "unlawful": "the processing is unlawful, and the client wants no erasure (GDPR 18(1)(b))",
        "legal_claims": "the client needs the data for legal claims (GDPR 18(1)(c))",
        "objection_pending": "an objection is being examined (GDPR 18(1)(d))",
        "national_law": "national law demands it",
    },
    "objection": {
        "research_statistics": "research and statistics (GDPR 21(6))",
        "public_or_legitimate_interest": "processing for a public or legitimate interest (GDPR 21(1))",
        "secondary_use": "any secondary use (EHDS 71)",
        "national_law": "national law gives the right",
    },
}
PROCESSING = "processing_restriction"  # among the rules of a record: processing is restricted, on the ground that follows
NOT_INFORMED = "must be true: the client is informed before a processing restriction is lifted (GDPR 18(3))"


class NewMark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mark to be set on the record of the client with exactly this reference. `note` is sealed, and can be erased."""

    kind: MarkKind
    client_ref: ClientRef
    ground: Code
    note: Text | None = None


class MarkEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a mark. `client_informed`: the client was informed before, which a processing restriction needs. `note` is sealed."""

    client_informed: bool = False
    note: Text | None = None


def ground_faults(kind: MarkKind, ground: str) -> list[Fault]:
    """What is wrong with a ground for a mark of this kind."""
    known = GROUNDS[kind]
    return [] if ground in known else [Fault("ground", f"must be one of {', '.join(known)}, for a {NAMES[kind]}")]


def end_faults(kind: MarkKind, end: MarkEnd) -> list[Fault]:
    """What is wrong with the end of a mark of this kind."""
    return [Fault("client_informed", NOT_INFORMED)] if kind == "restriction" and not end.client_informed else []

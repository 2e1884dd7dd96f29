"""A fact: an accepted trigger as the fold reads it, without what is sealed."""

import datetime as dt
from typing import Any

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger as the fold reads it. `data` is structural."""

    course: str
    seq: int
    trigger: str
    data: dict[str, Any]
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    person: str
    role: str
    cosigned_by: str | None = None
    overridden: tuple[str, ...] = ()
    contradicts: tuple[int, ...] = ()
    protocol_digest: str = ""

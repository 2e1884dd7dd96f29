"""The data each trigger carries: one Struct each.

A field is *structural* (codes, dates, counts, flags: what the fold reads) or *sealed* (free text and clinical content). Of a
sealed field the journal's hashed bytes keep only that it was given; see `structure`. A *reference* is the EHR's name for the
client: it is exchanged for an opaque id before anything is decided and never stored with an entry.
"""

import msgspec


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every trigger's data has in common: unknown fields are refused."""


class Nothing(Payload, frozen=True, kw_only=True):
    """This trigger carries no data."""

"""The base of all payloads."""

import msgspec


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The data of a trigger. Unknown fields are refused."""


class Nothing(Payload, frozen=True, kw_only=True):
    """This trigger carries no data."""

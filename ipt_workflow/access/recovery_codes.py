"""Recovery codes: ten for a person, each for one sign-in when no passkey is at hand. Shown once; only their SHA-256 is stored.

A code has 120 random bits, so no slower hash is needed (ASVS 6.5.2). It is written without letters that look like digits.
"""

import re
import secrets

from ipt_workflow.access.tokens import digest

COUNT = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_LENGTH = 24
_GROUP = 4
_READ_AS = str.maketrans({"i": "1", "l": "1", "o": "0"})
_SHAPE = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}")


def new_codes() -> tuple[str, ...]:
    """Ten new codes, such as 3f7k-90qd-x2mm-a8wz-6hhc-1tpe."""
    return tuple(_new() for _ in range(COUNT))


def _new() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(letters[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def hash_of(typed: str) -> str | None:
    """The hash under which a code is stored, however it is typed. None for what is no code."""
    letters = "".join(typed.split()).replace("-", "").lower().translate(_READ_AS)
    return digest(letters) if _SHAPE.fullmatch(letters) else None

"""Bearer tokens: `ipt_<id>_<secret>`. The secret is shown once and only its SHA-256 is stored: 256 random bits need no slower hash.

A token is found by that digest; how long the search takes tells nothing about a secret.
"""

import hashlib
import re
import secrets

import msgspec

_SHAPE = re.compile(r"ipt_([0-9a-f]{16})_([A-Za-z0-9]{43})")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Minted(msgspec.Struct, frozen=True):
    """A new token. Its holder gets `text`; the store keeps `secret_hash`."""

    id: str
    text: str
    secret_hash: str


def mint() -> Minted:
    token_id = secrets.token_hex(8)
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(43))
    return Minted(token_id, f"ipt_{token_id}_{secret}", digest(secret))


def parse(text: str) -> tuple[str, str] | None:
    """Id and secret of a token. None if the text has not the form of a token."""
    match = _SHAPE.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

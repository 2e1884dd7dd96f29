"""Sets of public keys (JWKS) by which a system proves itself: read, checked, and searched by a key's id."""

import base64
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.runtime.documents import json_value

KEYS_MAX = 20
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192  # more would take long to verify
KEY_TYPES = {"RS384": "RSA", "ES384": "EC"}  # by the algorithm of a signature
CURVE = "P-384"
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
NO_SET = f'must be a JSON Web Key Set: {{"keys": [...]}} with 1 to {KEYS_MAX} keys'


def read(raw: bytes, where: str = "jwks") -> list[dict[str, Any]]:
    """The keys of a set that a system publishes. Keys of other kinds and uses are left out. Raises CommandInvalid."""
    try:
        document = json_value(raw)
    except CommandMalformed:
        raise CommandInvalid([Fault(where, NO_SET)]) from None
    return [each for each in _keys(document, where) if _fault(each) is None]


def checked(document: Any, where: str = "jwks") -> bytes:
    """A set that somebody registers, as it is stored: public keys alone, each usable. Raises CommandInvalid with every fault."""
    keys = _keys(document, where)
    faults = [Fault(f"{where}.keys[{index}]", fault) for index, fault in enumerate(map(_fault, keys)) if fault]
    kids = [each.get("kid") for each in keys]
    if not faults and len(set(kids)) < len(kids):
        faults.append(Fault(f"{where}.keys", "must have a different kid each"))
    if faults:
        raise CommandInvalid(faults)
    return msgspec.json.encode({"keys": keys})


def key_of(keys: list[dict[str, Any]], kid: str, algorithm: str) -> Key | None:
    """The one key with this id that fits the algorithm. None if there is none, or more than one."""
    kind = KEY_TYPES[algorithm]
    found = [each for each in keys if each["kid"] == kid and each["kty"] == kind and each.get("alg", algorithm) == algorithm]
    return JWKRegistry.import_key(found[0]) if len(found) == 1 else None


def _keys(document: Any, where: str) -> list[dict[str, Any]]:
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= KEYS_MAX or not all(isinstance(each, dict) for each in keys):
        raise CommandInvalid([Fault(where, NO_SET)])
    return keys


def _fault(key: dict[str, Any]) -> str | None:
    """What is wrong with a key, or None."""
    if PRIVATE & key.keys():
        return "holds a private or shared key. Withdraw it, make a new one, and send its public part alone"
    kid, kind = key.get("kid"), key.get("kty")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 255:
        return "must have a kid of 1 to 255 characters"
    if key.get("use", "sig") != "sig":
        return 'must have the use "sig"'
    fitting = [algorithm for algorithm, of in KEY_TYPES.items() if of == kind]
    if not fitting or (kind == "EC" and key.get("crv") != CURVE):
        return f"must be an RSA key, or an EC key on the curve {CURVE}"
    if "alg" in key and key["alg"] not in fitting:
        return f"must have the alg {fitting[0]}"
    try:
        if kind == "RSA" and not RSA_BITS_MIN <= _bits(key["n"]) <= RSA_BITS_MAX:
            return f"must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits"
        JWKRegistry.import_key(key).get_op_key("verify")  # reads the numbers
    except (JoseError, LookupError, ValueError, TypeError):
        return "is no public key that can be read"
    return None


def _bits(number: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(f"{number}=="), "big").bit_length()

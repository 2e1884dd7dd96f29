"""Passwords with a second factor (TOTP), for shared machines without authenticators. An organisation's setting turns them on.

Hashing takes 64 MiB and much of a second on purpose (argon2id, the library's present parameters): call it in a thread.
"""

import datetime as dt
import hmac
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import cache

import argon2
import pyotp

from ipt_workflow.errors import Fault

LENGTH_MIN, LENGTH_MAX = 15, 128
DISTINCT_MIN = 6
SECONDS = 30  # of a step, as every authenticator app has it
STEPS_AROUND = 1  # clocks differ, and people type slowly
NAME_MIN = 4  # shorter names are in many good passwords by chance
ISSUER = "ipt_workflow"
_CODE = re.compile(r"[0-9]{6}")
_SECRET = re.compile(r"[A-Z2-7]{32}")
_hasher = argon2.PasswordHasher()


def faults(password: str, names: Collection[str]) -> Iterator[Fault]:
    """What is wrong with a new password. `names` are those of the person and the organisation."""
    plain = normal(password)
    if not LENGTH_MIN <= len(plain) <= LENGTH_MAX:
        yield Fault("password", f"must have {LENGTH_MIN} to {LENGTH_MAX} characters; several words are easy to remember")
    if len(set(plain)) < DISTINCT_MIN:
        yield Fault("password", f"must have at least {DISTINCT_MIN} different characters")
    if any(len(each) >= NAME_MIN and each.casefold() in plain.casefold() for each in names):
        yield Fault("password", "must not hold your name or the organisation's")


def normal(password: str) -> str:
    """One form of a text that keyboards may write in several (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def hashed(password: str) -> str:
    return _hasher.hash(normal(password))


def matches(password: str, known: str | None) -> bool:
    """Whether this is the password of a hash. Without one, takes as long and says no."""
    try:
        return _hasher.verify(known or _nobodys(), normal(password)) and known is not None
    except argon2.exceptions.VerifyMismatchError:
        return False


@cache
def _nobodys() -> str:
    """The hash of a password that nobody knows."""
    return _hasher.hash(pyotp.random_base32())


def new_secret() -> str:
    """A secret for an authenticator app: 160 random bits."""
    return pyotp.random_base32()


def is_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None


def address(secret: str, person: str) -> str:
    """The address that an authenticator app reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=ISSUER)


def step_of(secret: str, code: str, now: dt.datetime) -> int | None:
    """The step of 30 seconds to which a code belongs, of those around now. None for a wrong code.

    A code works once: the caller refuses a step that is not after the last used one.
    """
    digits = "".join(code.split())
    if not _CODE.fullmatch(digits):
        return None
    step, app = int(now.timestamp()) // SECONDS, pyotp.TOTP(secret)
    near = range(step - STEPS_AROUND, step + STEPS_AROUND + 1)
    found = [each for each in near if hmac.compare_digest(app.generate_otp(each), digits)]
    return max(found, default=None)

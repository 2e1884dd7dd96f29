"""Disclosures of a client, and which of them an accounting lists.

An accounting follows 45 CFR 164.528: the date, who received what, and for which purpose; of repeated disclosures to one recipient for one
purpose the first, how many, and the last. It leaves out what the rule leaves out: treatment, payment and operations, what the client
agreed to, and what the client got.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Literal

import msgspec

YEARS = 6  # of 164.528(a)(3)
NOT_ACCOUNTED = frozenset({"TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HQUALIMP", "SYSADMIN", "PATRQT"})
Way = Literal["recorded", "delivery", "read", "export"]


class DisclosureView(msgspec.Struct, frozen=True, kw_only=True):
    """Disclosures to one recipient for one purpose: the first, how many, and the last. `recipient` and `what` are null if they were erased.

    `way`: somebody `recorded` it; or an event was delivered, a system read, or the client's data were exported by this service.
    """

    recipient: str | None
    address: str | None
    what: tuple[str, ...]
    purpose: str | None
    authorised: bool
    way: Way
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


def accounted(found: Iterable[DisclosureView]) -> tuple[DisclosureView, ...]:
    """Those disclosures for which 45 CFR 164.528 asks."""
    return tuple(each for each in found if not each.authorised and each.purpose not in NOT_ACCOUNTED)


def six_years_before(moment: dt.datetime) -> dt.datetime:
    day = min(moment.day, 28) if moment.month == 2 else moment.day
    return moment.replace(year=moment.year - YEARS, day=day)


def together(single: Iterable[DisclosureView]) -> list[DisclosureView]:
    """Repeated disclosures to one recipient for one purpose as one, the first first."""
    found: dict[tuple[object, ...], DisclosureView] = {}
    for each in single:
        key = (each.recipient, each.address, each.purpose, each.authorised, each.way)
        found[key] = _both(found[key], each) if key in found else each
    return sorted(found.values(), key=lambda each: (each.first_at, each.recipient or "", each.purpose or ""))


def _both(one: DisclosureView, other: DisclosureView) -> DisclosureView:
    return msgspec.structs.replace(
        one,
        what=tuple(dict.fromkeys((*one.what, *other.what))),
        times=one.times + other.times,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )

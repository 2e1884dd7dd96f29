"""`_sort`: the key of a resource, and which of two comes first."""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from typing import Any

import msgspec

from ipt_workflow.ehr.fhir.search import Param, codes_of
from ipt_workflow.ehr.fhir.types import Period, Resource

Keys = tuple[str | None, ...]


class Order(msgspec.Struct, frozen=True):
    """One part of `_sort`. With several values, the first in the order counts; resources without one come last."""

    param: Param
    descending: bool = False

    def key(self, resource: Resource) -> str | None:
        texts = [text for value in self.param.present(resource) for text in _texts(value)]
        if not texts:
            return None
        return max(texts) if self.descending else min(texts)


class Ranked(msgspec.Struct, frozen=True):
    """The place of a resource: its keys, then the course and the number within the course, as without `_sort`."""

    keys: Keys
    course: str
    number: int


def ranked(orders: Sequence[Order], resource: Resource, course: str) -> Ranked:
    return Ranked(tuple(order.key(resource) for order in orders), course, int(str(resource.id).partition(".")[2] or 0))


def placed(orders: Sequence[Order]) -> Any:
    """A key function that puts Ranked into the order."""

    def compare(first: Ranked, second: Ranked) -> int:
        for order, one, other in zip(orders, first.keys, second.keys, strict=True):
            if one != other:
                if one is None or other is None:
                    return 1 if one is None else -1
                return 1 if (one > other) is not order.descending else -1
        mine, theirs = (first.course, first.number), (second.course, second.number)
        return (mine > theirs) - (mine < theirs)

    return cmp_to_key(compare)


def _texts(value: Any) -> Iterable[str]:
    """A value as texts that sort as the value does. A period sorts by its start."""
    if isinstance(value, Period):
        value = value.start
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),)
    if isinstance(value, str):
        return (value.casefold(),)
    return codes_of(value)

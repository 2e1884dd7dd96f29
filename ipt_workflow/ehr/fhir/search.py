"""Searching: what a parameter's values mean, and whether a resource matches them (FHIR R4, search)."""

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Identifier, Period, Reference
from ipt_workflow.errors import Fault
from ipt_workflow.values.faults import YEARS

Values = Callable[[Any], Iterable[Any]]
Kind = Literal["token", "date", "reference", "uri", "string"]
_MOMENT = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)(T(?P<time>\d\d:\d\d(:\d\d(\.\d+)?)?)(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One search parameter. `values` are those a resource has; `logical`: they are references by identifier alone."""

    name: str
    kind: Kind
    values: Values
    says: str
    logical: bool = False


class Span(msgspec.Struct, frozen=True):
    """From `start`, included, to `end`, not included. None: without an end."""

    start: dt.datetime
    end: dt.datetime | None


class QueryValue(msgspec.Struct, frozen=True):
    """One value of a parameter as it was told: `prefix` of a date, `system` of a token."""

    text: str
    system: str | None = None
    prefix: str = "eq"
    span: Span | None = None


class Term(msgspec.Struct, frozen=True):
    """A parameter and its values, one of which must match."""

    param: Param
    told: tuple[QueryValue, ...]
    text: str
    modifier: str = ""

    def matches(self, resource: Any) -> bool:
        values = list(self.param.values(resource))
        return any(_MATCHERS[self.param.kind](told, values) for told in self.told)


def term(param: Param, modifier: str, text: str) -> Term | Fault:
    """A parameter as it was told, or what is wrong with it."""
    name = f"{param.name}:{modifier}" if modifier else param.name
    if modifier != ("identifier" if param.logical else ""):
        return Fault(name, _modifier_fault(param, modifier))
    told = [_told(param, each) for each in _split(text)]
    faults = [each for each in told if isinstance(each, str)]
    if faults or not told:
        return Fault(name, faults[0] if faults else "needs a value")
    return Term(param, tuple(each for each in told if isinstance(each, QueryValue)), text, modifier)


def _modifier_fault(param: Param, modifier: str) -> str:
    if param.logical:
        return f"is known by its identifier alone: say {param.name}:identifier=system|value"
    return f"the modifier :{modifier} is not supported"


def _split(text: str) -> list[str]:
    """Values are separated by commas; a backslash takes one as it is."""
    return [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\),", text) if part]


def _told(param: Param, text: str) -> QueryValue | str:
    if param.kind == "date":
        return _date(text)
    if param.kind == "token" or param.logical:
        system, bar, code = text.rpartition("|")
        return QueryValue(code, system if bar else None)
    return QueryValue(text)


def _date(text: str) -> QueryValue | str:
    found = _MOMENT.fullmatch(text.replace(" ", "+"))
    prefix = (found["prefix"] or "eq") if found else ""
    if not found or prefix not in PREFIXES:
        return f"must be a date or time such as ge2026-03-01 or 2026-03-01T09:00:00Z; prefixes are {', '.join(PREFIXES)}"
    if int(found["year"]) not in YEARS:
        return f"must lie in the years {YEARS[0]} to {YEARS[-1]}"
    try:
        return QueryValue(text, prefix=prefix, span=_span(found))
    except ValueError:
        return "must be a date that exists"


def _span(found: re.Match[str]) -> Span:
    """The stretch of time that a date of some precision stands for. Without an offset it is taken as UTC."""
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    if found["time"]:
        return _moment(found)
    start = dt.datetime(year, month, day, tzinfo=dt.UTC)
    if found["day"]:
        return Span(start, start + dt.timedelta(days=1))
    if found["month"]:
        return Span(start, start.replace(year=year + month // 12, month=month % 12 + 1))
    return Span(start, start.replace(year=year + 1))


def _moment(found: re.Match[str]) -> Span:
    zone = (found["zone"] or "Z").replace("Z", "+00:00")
    start = dt.datetime.fromisoformat(f"{found['year']}-{found['month']}-{found['day']}T{found['time']}{zone}")
    step = dt.timedelta(microseconds=1) if "." in found["time"] else dt.timedelta(seconds=1 if found["time"].count(":") > 1 else 60)
    return Span(start, start + step)


def _token(told: QueryValue, values: list[Any]) -> bool:
    return any(_same_token(told, each) for each in _codings(values))


def _codings(values: list[Any]) -> Iterable[Coding | Identifier | str]:
    for value in values:
        if isinstance(value, CodeableConcept):
            yield from value.coding
        elif value is not None:
            yield value


def _same_token(told: QueryValue, value: Coding | Identifier | str) -> bool:
    """A bare code belongs to the one system its element has, whatever it is called."""
    if isinstance(value, str):
        return told.text == value
    code = value.code if isinstance(value, Coding) else value.value
    same_system = told.system is None or told.system == (value.system or "")
    return same_system and (told.text == code or (told.text == "" and told.system is not None))


def _reference(told: QueryValue, values: list[Any]) -> bool:
    return any(_same_reference(told, each) for each in values if each is not None)


def _same_reference(told: QueryValue, value: Reference) -> bool:
    """By `Type/id`, by the id alone, or by an absolute URL; a version is looked at only where one is told."""
    if value.identifier:
        return _same_token(told, value.identifier)
    literal = value.reference or ""
    bare = literal.partition("/_history/")[0]
    text = "/".join(told.text.split("/")[-4:]) if "/_history/" in told.text else "/".join(told.text.split("/")[-2:])
    return text in {literal, bare, bare.partition("/")[2]}


def _uri(told: QueryValue, values: list[Any]) -> bool:
    """A canonical is found with its version or without."""
    return any(told.text in {value, value.partition("|")[0]} for value in values if value)


def _string(told: QueryValue, values: list[Any]) -> bool:
    return any(value.casefold().startswith(told.text.casefold()) for value in values if value)


def _date_matches(told: QueryValue, values: list[Any]) -> bool:
    assert told.span is not None
    return any(_COMPARE[told.prefix](_as_span(each), told.span) for each in values if each is not None)


def _as_span(value: Period | dt.datetime) -> Span:
    if isinstance(value, dt.datetime):
        return Span(value, value + dt.timedelta(microseconds=1))
    start = value.start or dt.datetime.min.replace(tzinfo=dt.UTC)
    return Span(start, value.end + dt.timedelta(microseconds=1) if value.end else None)


def _within(value: Span, told: Span) -> bool:
    return told.start <= value.start and value.end is not None and told.end is not None and value.end <= told.end


def _after(value: Span, told: Span) -> bool:
    return value.end is None or told.end is None or value.end > told.end


_COMPARE: dict[str, Callable[[Span, Span], bool]] = {
    "eq": _within,
    "ne": lambda value, told: not _within(value, told),
    "gt": _after,
    "lt": lambda value, told: value.start < told.start,
    "ge": lambda value, told: value.end is None or value.end > told.start,
    "le": lambda value, told: told.end is None or value.start < told.end,
    "sa": lambda value, told: told.end is not None and value.start >= told.end,
    "eb": lambda value, told: value.end is not None and value.end <= told.start,
}
_MATCHERS: dict[Kind, Callable[[QueryValue, list[Any]], bool]] = {
    "token": _token,
    "date": _date_matches,
    "reference": _reference,
    "uri": _uri,
    "string": _string,
}

"""Search: decodes the values of a parameter, and decides whether a resource matches them (FHIR R4, search)."""

import datetime as dt
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Identifier, Period
from ipt_workflow.errors import Fault
from ipt_workflow.values.faults import IN_YEARS, YEARS

Values = Callable[[Any], Iterable[Any]]
Kind = Literal["token", "date", "reference", "uri", "string"]
_MOMENT = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)(T(?P<time>\d\d:\d\d(:\d\d(\.\d+)?)?)(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One search parameter. `values` reads a resource's values. `logical`: they are references by identifier only.

    `targets` are the kinds to which its references lead, for `_include`, `_revinclude` and `_has`.
    """

    name: str
    kind: Kind
    values: Values
    says: str
    logical: bool = False
    targets: tuple[str, ...] = ()

    def present(self, resource: Any) -> list[Any]:
        """The values that are there."""
        return [value for value in self.values(resource) if value is not None]


class Span(msgspec.Struct, frozen=True):
    """From `start` (included) to `end` (not included). None: no end."""

    start: dt.datetime
    end: dt.datetime | None


class QueryValue(msgspec.Struct, frozen=True):
    """One value in a search. Dates have a `prefix` and a `span`, tokens a `system`."""

    text: str
    system: str | None = None
    prefix: str = "eq"
    span: Span | None = None


class Term(msgspec.Struct, frozen=True):
    """A parameter with its values. A resource matches if one of them does; with `:not`, if none does."""

    param: Param
    values: tuple[QueryValue, ...]
    text: str
    modifier: str = ""

    def matches(self, resource: Any) -> bool:
        found = self.param.present(resource)
        if self.modifier == "missing":
            return (not found) is (self.text == "true")
        matcher = _identifier if self.modifier == "identifier" else _MATCHERS[self.param.kind]
        return any(matcher(wanted, found) for wanted in self.values) is not (self.modifier == "not")

    @property
    def name(self) -> str:
        return f"{self.param.name}:{self.modifier}" if self.modifier else self.param.name


def term(param: Param, modifier: str, text: str) -> Term | Fault:
    """The parameter and its decoded values, or the fault in them."""
    name = f"{param.name}:{modifier}" if modifier else param.name
    if modifier == "missing":
        return Term(param, (), text, modifier) if text in {"true", "false"} else Fault(name, "must be true or false")
    if modifier not in _modifiers(param):
        return Fault(name, _modifier_fault(param, modifier))
    values = [_value(param, each) for each in _split(text)]
    faults = [each for each in values if isinstance(each, str)]
    if faults or not values:
        return Fault(name, faults[0] if faults else "needs a value")
    return Term(param, tuple(each for each in values if isinstance(each, QueryValue)), text, modifier)


def _modifiers(param: Param) -> tuple[str, ...]:
    if param.logical:
        return ("identifier",)
    return ("", "not") if param.kind == "token" else ("",)


def _modifier_fault(param: Param, modifier: str) -> str:
    if param.logical:
        return f"can be searched by identifier only: write {param.name}:identifier=system|value"
    return f"the modifier :{modifier} is not supported"


def _split(text: str) -> list[str]:
    """Commas separate values. A backslash escapes a comma."""
    return [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\),", text) if part]


def _value(param: Param, text: str) -> QueryValue | str:
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
        return IN_YEARS
    try:
        return QueryValue(text, prefix=prefix, span=_span(found))
    except ValueError:
        return "is not a date in the calendar"


def _span(found: re.Match[str]) -> Span:
    """The span that a date covers: its year, month, day, minute or second. A time without an offset is in UTC."""
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


def _token(wanted: QueryValue, values: list[Any]) -> bool:
    return any(_same_token(wanted, each) for each in _codings(values))


def _codings(values: list[Any]) -> Iterable[Coding | Identifier | str]:
    for value in values:
        if isinstance(value, CodeableConcept):
            yield from value.coding
        else:
            yield value


def codes_of(value: Any) -> list[str]:
    """The codes of a token's value, without their systems."""
    texts = [each if isinstance(each, str) else each.code if isinstance(each, Coding) else each.value for each in _codings([value])]
    return [text for text in texts if text]


def _same_token(wanted: QueryValue, value: Coding | Identifier | str) -> bool:
    """A plain code belongs to the single system of its element, so the search's system is ignored for it."""
    if isinstance(value, str):
        return wanted.text == value
    code = value.code if isinstance(value, Coding) else value.value
    same_system = wanted.system is None or wanted.system == (value.system or "")
    return same_system and (wanted.text == code or (wanted.text == "" and wanted.system is not None))


def _identifier(wanted: QueryValue, values: list[Any]) -> bool:
    return any(_same_token(wanted, each.identifier) for each in values if each.identifier)


def _reference(wanted: QueryValue, values: list[Any]) -> bool:
    return any(_same_reference(wanted, each.reference) for each in values if each.reference)


def _same_reference(wanted: QueryValue, literal: str) -> bool:
    """Matches `Type/id`, an id alone, or an absolute URL. The version counts only if the search names one."""
    bare = literal.partition("/_history/")[0]
    text = "/".join(wanted.text.split("/")[-4:]) if "/_history/" in wanted.text else "/".join(wanted.text.split("/")[-2:])
    return text in {literal, bare, bare.partition("/")[2]}


def _uri(wanted: QueryValue, values: list[Any]) -> bool:
    """Matches a canonical with or without its version."""
    return any(wanted.text in {value, value.partition("|")[0]} for value in values)


def _string(wanted: QueryValue, values: list[Any]) -> bool:
    return any(value.casefold().startswith(wanted.text.casefold()) for value in values)


def _date_matches(wanted: QueryValue, values: list[Any]) -> bool:
    assert wanted.span is not None
    return any(_COMPARE[wanted.prefix](_as_span(each), wanted.span) for each in values)


def _as_span(value: Period | dt.datetime) -> Span:
    if isinstance(value, dt.datetime):
        return Span(value, value + dt.timedelta(microseconds=1))
    start = value.start or dt.datetime.min.replace(tzinfo=dt.UTC)
    return Span(start, value.end + dt.timedelta(microseconds=1) if value.end else None)


def _within(value: Span, wanted: Span) -> bool:
    return wanted.start <= value.start and value.end is not None and wanted.end is not None and value.end <= wanted.end


def _after(value: Span, wanted: Span) -> bool:
    return value.end is None or wanted.end is None or value.end > wanted.end


_COMPARE: dict[str, Callable[[Span, Span], bool]] = {
    "eq": _within,
    "ne": lambda value, wanted: not _within(value, wanted),
    "gt": _after,
    "lt": lambda value, wanted: value.start < wanted.start,
    "ge": lambda value, wanted: value.end is None or value.end > wanted.start,
    "le": lambda value, wanted: wanted.end is None or value.start < wanted.end,
    "sa": lambda value, wanted: wanted.end is not None and value.start >= wanted.end,
    "eb": lambda value, wanted: value.end is not None and value.end <= wanted.start,
}
_MATCHERS: dict[Kind, Callable[[QueryValue, list[Any]], bool]] = {
    "token": _token,
    "date": _date_matches,
    "reference": _reference,
    "uri": _uri,
    "string": _string,
}

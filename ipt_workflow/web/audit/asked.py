"""What somebody asks of the audit log: the filters that they typed, and what is wrong with them."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.values.faults import YEARS
from ipt_workflow.web.audit.words import KINDS
from ipt_workflow.web.language import _, reader

DAY = dt.timedelta(days=1)
FIELDS = ("client", "person", "kind", "since", "until")
TEXT_MAX = 200


class AskedDays(msgspec.Struct, frozen=True, kw_only=True):
    """A time from one day to another, both included, in the reader's zone. `errors` are texts with the ids of their fields."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None
    errors: tuple[tuple[str, str], ...] = ()


class AskedOfLog(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed, and the filters that it means."""

    typed: dict[str, str]
    filters: AuditFilters
    errors: tuple[tuple[str, str], ...]


def typed(form: Mapping[str, Any]) -> dict[str, str]:
    """The fields as they were typed; what is missing is empty."""
    return {name: str(form.get(name) or "").strip() for name in FIELDS}


def days(fields: Mapping[str, str]) -> AskedDays:
    """The days of the fields `since` and `until`."""
    errors: list[tuple[str, str]] = []
    found: dict[str, dt.datetime | None] = {}
    for name in ("since", "until"):
        try:
            day = dt.date.fromisoformat(fields[name]) if fields[name] else None
        except ValueError:
            day = None
            errors.append((_("Give a day that exists, such as 2026-03-01."), name))
        if day is not None and day.year not in YEARS:
            errors.append((_("Give a day of a year that can be."), name))
        elif day is not None:
            first = dt.datetime.combine(day if name == "since" else day + DAY, dt.time(), reader().zone)
            found[name] = first.astimezone(dt.UTC)
    if not errors and fields["since"] and fields["until"] and fields["since"] > fields["until"]:
        errors.append((_("The last day must not be before the first."), "until"))
    return AskedDays(since=found.get("since"), until=found.get("until"), errors=tuple(errors))


def of_log(form: Mapping[str, Any]) -> AskedOfLog:
    """The filters of a form, but for the client, whose courses somebody has to find."""
    fields = typed(form)
    errors = [(_("This is too long."), name) for name in FIELDS if len(fields[name]) > TEXT_MAX]
    if fields["kind"] and fields["kind"] not in KINDS:
        errors.append((_("Choose one of the kinds."), "kind"))
    between = days(fields)
    filters = AuditFilters(kind=fields["kind"] or None, actor=fields["person"] or None, from_=between.since, to=between.until)
    return AskedOfLog(typed=fields, filters=filters, errors=(*errors, *between.errors))

"""The page of a client's export that people read: what was recorded, who had to do with it, and what left the clinic.

It stands alone: a browser shows it without a network and without a script.
"""

import datetime as dt
import html
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course import Course
from ipt_workflow.journal import Entry
from ipt_workflow.journal.disclosures import DisclosureView
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.service.privacy.access_reports import ReportedAccess
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.database import Connection

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
PHRASES_FILE = Path(__file__).with_name("phrases.toml")
FILES = {
    "summary.html": "summary",
    "entries.ndjson": "entries",
    "entries-after-checkpoint.ndjson": "later",
    "other-texts.ndjson": "other",
    "records.ndjson": "records",
    "proofs/": "proofs",
    "access-log.csv": "access_log",
    "access-report.csv": "access_report",
    "disclosures.csv": "disclosures",
    "fhir-everything.json": "everything",
    "manifest.json": "manifest",
}
STYLE = (
    "body{font-family:sans-serif;line-height:1.4;margin:2rem;max-width:70rem}table{border-collapse:collapse;width:100%;margin:0 0 2rem}"
    "th,td{border-bottom:1px solid #999;padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top}caption{text-align:left;font-weight:bold}"
)


class CourseSummary(msgspec.Struct, frozen=True):
    """A course of the client with its journal."""

    course: Course
    protocol: Protocol
    entries: Sequence[Entry]


class ClientSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows. `names` are those of the staff by id. `proved`: proofs come with it."""

    clinic: str
    client_ref: str | None
    made_at: dt.datetime
    zone: ZoneInfo
    courses: tuple[CourseSummary, ...]
    names: Mapping[str, str]
    accesses: Sequence[ReportedAccess]
    disclosures: Sequence[DisclosureView]
    proved: bool


class ReadJournals(msgspec.Struct, frozen=True):
    """The journals of courses, and the names of whoever wrote them."""

    entries: dict[str, list[Entry]]
    names: dict[str, str]


def read(connection: Connection, organisation: str, courses: Sequence[str]) -> ReadJournals:
    """All of it on one snapshot of the database."""
    entries = stored_courses.entries_of(connection, organisation, courses)
    people = {each.written.actor.person for journal in entries.values() for each in journal}
    people |= {str(each.written.data.get("therapist")) for journal in entries.values() for each in journal}
    return ReadJournals(entries, stored_people.names(connection, organisation, sorted(people)))


@cache
def phrases(language: Language) -> Mapping[str, str]:
    """What the page says, by the name of each phrase."""
    return {name: str(text) for name, text in toml_table(PHRASES_FILE)[language].items()}


def page(shown: ClientSummary, language: Language) -> str:
    """The page as HTML."""
    said = phrases(language)
    day = _day(shown.made_at, shown.zone)
    proofs = said["verify"] if shown.proved else said["unproved"]
    parts = [
        f"<h1>{_text(said['title'])}</h1>",
        f"<p>{_text(said['intro'].format(clinic=shown.clinic, day=day))}</p>",
        f"<p>{_text(said['reference'])}: {_text(shown.client_ref or said['erased_reference'])}</p>",
        *(part for each in shown.courses for part in _course(each, shown, said)),
        _table(said, "accesses", ("who", "role", "what", "why", "times", "first", "last"), _accesses(shown)),
        _table(said, "disclosed", ("recipient", "what", "purpose", "times", "first", "last"), _disclosures(shown)),
        _table(said, "files", ("files", "what"), [(name, said[what]) for name, what in FILES.items()]),
        f"<p>{_text(proofs)}</p>",
        f"<p>{_text(said['rights'])}</p>",
    ]
    head = f'<meta charset="utf-8"><title>{_text(said["title"])}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="{language}"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _course(each: CourseSummary, shown: ClientSummary, said: Mapping[str, str]) -> Iterable[str]:
    course = each.course
    yield f"<h2>{_text(said['course'])}: {_text(each.protocol.title)}</h2>"
    facts = {
        "opened": _day(course.opened_at, shown.zone),
        "therapist": shown.names.get(course.therapist or "", course.therapist or ""),
        "state": _words(course.state),
    }
    yield "<p>" + "<br>".join(f"{_text(said[name])}: {_text(value)}" for name, value in facts.items()) + "</p>"
    totals = [
        (_day(entry.written.occurred_at, shown.zone), str(entry.written.data.get("instrument")), entry.written.data.get("total"))
        for entry in each.entries
        if entry.written.trigger == "record_measure"
    ]
    if totals:
        yield _table(said, "measures", ("when", "scale", "total"), totals)
    yield _table(said, "steps", ("when", "what", "recorded_by", "content"), [_step(entry, shown, said) for entry in each.entries])


def _step(entry: Entry, shown: ClientSummary, said: Mapping[str, str]) -> tuple[str, ...]:
    written, document = entry.written, entry.document
    given = {**document.data, "reason": document.reason} if document else {}
    content = "\n".join(f"{_words(name)}: {_flat(value)}" for name, value in given.items() if value not in (None, "", [], {}))
    person = written.actor.person
    what = _words(written.trigger)
    when = _day(written.occurred_at, shown.zone)
    return (when, what, shown.names.get(person, person), content if document else said["no_text"])


def _accesses(shown: ClientSummary) -> list[tuple[Any, ...]]:
    return [
        (
            each.name,
            each.role,
            _words(each.action or each.kind),
            ", ".join(part for part in (each.basis, each.purpose, each.rules) if part),
            each.times,
            _day(each.first_at, shown.zone),
            _day(each.last_at, shown.zone),
        )
        for each in shown.accesses
    ]


def _disclosures(shown: ClientSummary) -> list[tuple[Any, ...]]:
    return [
        (
            each.recipient,
            "; ".join(each.what),
            each.purpose,
            each.times,
            _day(each.first_at, shown.zone),
            _day(each.last_at, shown.zone),
        )
        for each in shown.disclosures
    ]


def _table(said: Mapping[str, str], caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return f"<p><strong>{_text(said[caption])}</strong><br>{_text(said['none'])}</p>"
    head = "".join(f'<th scope="col">{_text(said[each])}</th>' for each in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{_text(said[caption])}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_words(name)}: {_flat(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_flat(each) for each in value)
    return str(value)


def _words(code: str) -> str:
    return code.replace("_", " ")


def _day(moment: dt.datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value)).replace("\n", "<br>")

"""The language and the time zone in which somebody reads: texts by gettext, days and numbers as Babel writes them.

English texts are the keys of the catalogues. Of a text with values `%(name)s` the percent sign itself is written `%%`.
"""

import datetime as dt
import io
from contextvars import ContextVar
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from babel import Locale, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

CATALOGUES = Path(__file__).parent / "catalogs"
LOCALES = {"en": "en_GB", "de": "de_DE"}  # the languages of the pages, the first for whoever reads none of them
LANGUAGES = tuple(LOCALES)
NAMES = {"en": "English", "de": "Deutsch"}


class Reader(msgspec.Struct, frozen=True):
    """Who reads a page."""

    language: str
    zone: ZoneInfo

    @property
    def locale(self) -> Locale:
        return locale(self.language)


@cache
def locale(language: str) -> Locale:
    """Babel's rules of a language of the pages. They are found once: Babel would look for them every time."""
    return Locale.parse(LOCALES[language])


ANYBODY = Reader(LANGUAGES[0], ZoneInfo("UTC"))
_reader: ContextVar[Reader] = ContextVar("reader", default=ANYBODY)


def reader() -> Reader:
    """Who reads the page of this request."""
    return _reader.get()


def read_by(language: str | None = None, zone: ZoneInfo | None = None) -> None:
    """Says who reads the page of this request. What is None stays."""
    known = reader()
    _reader.set(Reader(chosen(language) or known.language, zone or known.zone))


def chosen(language: str | None) -> str | None:
    """The language of the pages for a BCP 47 tag. None if they do not speak it."""
    primary = (language or "").partition("-")[0].lower()
    return primary if primary in LOCALES else None


def accepted(header: str) -> str:
    """The first language of an Accept-Language header that the pages speak, by its weights."""
    wanted = []
    for position, each in enumerate(header.split(",")[:20]):
        tag, _, weight = each.partition(";q=")
        try:
            wanted.append((-float(weight or 1), position, tag.strip()))
        except ValueError:
            continue
    return next((found for _, _, tag in sorted(wanted) if (found := chosen(tag))), LANGUAGES[0])


class Language(ASGIMiddleware):
    """Reads a request's language from its Accept-Language. What somebody has chosen for themselves comes later, and wins."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        header = dict(scope["headers"]).get(b"accept-language", b"")
        read_by(accepted(header.decode("latin-1")), scope["litestar_app"].state.settings.zone)
        await next_app(scope, receive, send)


@cache
def catalogue(language: str) -> NullTranslations:
    """The texts of a language. English has none: its texts are the keys."""
    path = CATALOGUES / language / "LC_MESSAGES" / "ipt.po"
    if not path.is_file():
        return NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def gettext(message: str) -> str:
    """A text in the reader's language. An empty one is empty: a catalogue has what it says of itself under that key."""
    return catalogue(reader().language).gettext(message) if message else ""


def ngettext(one: str, many: str, number: int) -> str:
    return catalogue(reader().language).ngettext(one, many, number)


def pgettext(context: str, message: str) -> str:
    return catalogue(reader().language).pgettext(context, message)


def npgettext(context: str, one: str, many: str, number: int) -> str:
    return catalogue(reader().language).npgettext(context, one, many, number)


def _(message: str, **values: Any) -> str:
    """A text in the reader's language, with its values."""
    text = gettext(message)
    return text % values if values else text


def n_(one: str, many: str, number: int, **values: Any) -> str:
    """A text that depends on a number, which is its value `num`."""
    return ngettext(one, many, number) % {"num": number, **values}


def noted(message: str) -> str:
    """Marks a text for the catalogues where it is written down, to be translated by `_` where it is shown."""
    return message


def day(value: dt.date) -> str:
    """`5 January 2026`; of a moment, its day in the reader's zone."""
    return _written(_day_of(value), "long", reader().language)


def short_day(value: dt.date) -> str:
    """`Mon, 5 Jan`."""
    return _written(_day_of(value), "MMMEd", reader().language)


def clock(value: dt.datetime) -> str:
    """`09:30`, in the reader's zone."""
    return dates.format_time(value.astimezone(reader().zone), "HH:mm", locale=reader().locale)


def moment(value: dt.datetime) -> str:
    """`5 Jan 2026, 09:30`, in the reader's zone."""
    return f"{_written(_day_of(value), 'medium', reader().language)}, {clock(value)}"


def number(value: float) -> str:
    return numbers.format_decimal(value, locale=reader().locale)


def _day_of(value: dt.date) -> dt.date:
    """The day of a moment in the reader's zone; a day itself."""
    return value.astimezone(reader().zone).date() if isinstance(value, dt.datetime) else value


@lru_cache(maxsize=4096)
def _written(value: dt.date, form: str, language: str) -> str:
    """A day in one of Babel's forms, or by a skeleton. A page names few days, and many times: Babel takes 40 µs for each."""
    locale = LOCALES[language]
    if form in {"medium", "long"}:
        return dates.format_date(value, form, locale=locale)
    return dates.format_skeleton(form, value, locale=locale)


FILTERS = {"day": day, "short_day": short_day, "clock": clock, "moment": moment, "number": number}

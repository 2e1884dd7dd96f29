"""Why something is refused, in the words of the pages and in the reader's language, by message id and parameters."""

import datetime as dt
from collections.abc import Iterator

from babel import lists
from msgspec import UNSET

from ipt_workflow import groups
from ipt_workflow.course.rules.messages import MESSAGES
from ipt_workflow.errors import Parameter, Refusal
from ipt_workflow.web.forms.labels import word_of
from ipt_workflow.web.language import _, day, gettext, moment, number, reader
from ipt_workflow.web.refusal_sentences import SENTENCES

KNOWN = MESSAGES | groups.MESSAGES | SENTENCES


def sentence(refusal: Refusal) -> str:
    """A refusal's sentence. One that was stored before it had an id stays as it was written."""
    if refusal.message_id is UNSET or refusal.message_id not in KNOWN:
        return refusal.message
    parameters = {} if refusal.parameters is UNSET else refusal.parameters
    return gettext(KNOWN[refusal.message_id]).format_map({name: words(value) for name, value in parameters.items()})


def words(value: Parameter) -> str:
    """A parameter of a refusal: numbers, days and moments as the reader writes them, codes in words, several as a list."""
    if isinstance(value, int):
        return number(value)
    if isinstance(value, str):
        return _moment(value) or _code(value)
    return lists.format_list([words(each) for each in value], locale=reader().locale) if value else _("none")


def _moment(value: str) -> str | None:
    """A text that is an ISO day or moment, as the reader writes it."""
    if not value[:4].isdigit() or value[4:5] != "-":
        return None
    try:
        return day(dt.date.fromisoformat(value)) if len(value) == len("2026-01-05") else moment(dt.datetime.fromisoformat(value))
    except ValueError:
        return None


def _code(value: str) -> str:
    """A code in the words that the forms have for it, within a sentence. A text that is no code stays as it is."""
    named = word_of(value)
    if named is None:
        return value.replace("_", " ")
    text = gettext(named)
    return text[0].lower() + text[1:] if reader().language == "en" and not text[:2].isupper() else text


def every_text() -> Iterator[str]:
    """Every sentence, for the catalogues."""
    yield from KNOWN.values()

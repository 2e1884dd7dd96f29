"""The words of the forms: what each trigger, field, code and hint is called. They stand in `labels.toml`, once.

The words are English and are the ids of the catalogues, so whoever shows them translates them.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from ipt_workflow.runtime.documents import toml_table

FILE = Path(__file__).with_name("labels.toml")


class FieldLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of one field. `options` names the list of its codes' words. `rare` fields are shown on request.

    `one` names a row and `add` the button that adds one. `control` asks for another control than the field's type.
    """

    label: str
    hint: str = ""
    options: str = ""
    one: str = ""
    add: str = ""
    rare: bool = False
    control: str = ""


class DeedLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of one trigger: the title of its page, its button, what one should know first, and what its entry is called."""

    title: str
    button: str
    done: str
    intro: str = ""
    reason: str = ""  # what to say as the reason, where one is asked


class _Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    deeds: dict[str, DeedLabel]
    fields: dict[str, dict[str, FieldLabel]]
    options: dict[str, dict[str, str]]


@cache
def _labels() -> _Labels:
    return msgspec.convert(toml_table(FILE), _Labels)


def label_of(struct: type[msgspec.Struct], field: str) -> FieldLabel:
    """The words of a payload's field."""
    return _labels().fields[struct.__name__][field]


def deed_label(trigger: str) -> DeedLabel:
    """The words of a trigger. Every `begin_<phase>` has the words of the pattern."""
    deeds = _labels().deeds
    return deeds.get(trigger) or deeds["begin_<phase>"]


def option_text(options: str, code: str) -> str:
    """The words of a code. A protocol of the organisation's own may have codes that nobody has named: those read as they are written."""
    named = _labels().options.get(options, {})
    return named.get(code) or code.replace("_", " ").capitalize()


def codes_of(options: str) -> tuple[str, ...]:
    """The codes of a list that have words, in the order in which they are offered."""
    return tuple(_labels().options[options])


def every_text() -> Iterator[str]:
    """Every text of the file, for the catalogues."""
    labels = _labels()
    for deed in labels.deeds.values():
        yield from (deed.title, deed.button, deed.done, deed.intro, deed.reason)
    for fields in labels.fields.values():
        for field in fields.values():
            yield from (field.label, field.hint, field.one, field.add)
    for codes in labels.options.values():
        yield from codes.values()


def word_of(code: str) -> str | None:
    """The words of a code, whichever list names it. None if none does."""
    return next((codes[code] for codes in _labels().options.values() if code in codes), None)

"""The words of the forms: none is missing, none is left over, and none is one that pages do not use."""

import re
from pathlib import Path

import pytest

from ipt_workflow.course import triggers
from ipt_workflow.course.rules import ARTEFACTS, KNOWN_RULES
from ipt_workflow.protocols import rhythm
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.web.forms import labels
from ipt_workflow.web.forms.labels import every_text, label_of
from ipt_workflow.web.forms.shapes import every_shape

PAYLOADS = {row.payload for row in triggers.TABLE}
NEVER = re.compile(r"\b(trigger|void|seq|relink|deviation|entry|entries)\b", re.IGNORECASE)
CONFIG = Path(__file__).parents[3] / "config"
PROTOCOLS = load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES).protocols.values()


def every_field() -> set[tuple[str, str]]:
    return {(struct.__name__, shape.name) for payload in PAYLOADS for struct, shape in every_shape(payload)}


def test_every_trigger_has_a_title_a_button_and_the_name_of_what_was_done():
    assert set(labels._labels().deeds) - {"begin_middle", "begin_final"} == set(triggers.BY_NAME)


def test_every_trigger_that_asks_for_a_reason_says_which():
    lacking = [row.name for row in triggers.TABLE if row.reason_required and not labels.deed_label(row.name).reason]
    assert lacking == []


def test_every_field_of_every_payload_has_a_label_and_no_label_is_left_over():
    written = {(struct, field) for struct, fields in labels._labels().fields.items() for field in fields}
    assert {each for each in written if each[0] not in {"CommandFrame", "OpeningFrame"}} == every_field()


def test_every_code_of_every_field_has_words_and_no_words_are_left_over():
    options, used = labels._labels().options, {}
    for payload in PAYLOADS:
        for struct, shape in every_shape(payload):
            if shape.codes:
                name = label_of(struct, shape.name).options
                assert set(shape.codes) <= set(options[name]), (struct, shape.name)
                used.setdefault(name, set()).update(shape.codes)
    assert {name: codes for name, codes in used.items() if codes != set(options[name])} == {
        "sick_role_status": used["sick_role_status"]
    }


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ("area", {area for each in PROTOCOLS for area in each.focus.areas}),
        ("indication", {indication for each in PROTOCOLS for indication in each.indications}),
        ("artefact", set(ARTEFACTS)),
        ("activity", {activity for form in rhythm.ACTIVITIES.values() for activity in form}),
    ],
)
def test_every_code_of_the_protocols_has_words(options: str, codes: set[str]):
    assert set(labels._labels().options[options]) == codes


def test_every_phase_of_the_protocols_has_words():
    assert {phase for each in PROTOCOLS for phase in each.phase_ids} <= set(labels._labels().options["state"])


def test_lists_of_rows_say_what_a_row_is_and_what_the_button_adds():
    for payload in PAYLOADS:
        for struct, shape in every_shape(payload):
            label = label_of(struct, shape.name)
            assert bool(label.one and label.add) == (shape.kind == "rows"), (struct, shape.name)


def test_no_text_uses_the_words_of_the_record():
    assert [text for text in every_text() if NEVER.search(text)] == []


def test_texts_have_no_percent_sign_since_catalogues_read_it_as_a_place():
    assert [text for text in every_text() if "%" in text] == []


def test_a_sentence_speaks_of_phases_and_parts_by_the_words_that_fit_in_it():
    assert [labels.word_of(code) for code in ("initial", "crisis", "attachment_style", "social_patterns")] == [
        "initial",
        "Crisis",
        "Attachment",
        "Patterns with others",
    ]


def test_a_code_of_a_protocol_of_ones_own_reads_as_it_is_written():
    assert labels.option_text("area", "loss_of_home") == "Loss of home"

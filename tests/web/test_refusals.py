"""Refusals on pages: in the pages' words, whole in every language, without what only programs know."""

import re

import msgspec
import pytest
from support.course_walk import places, reach

from ipt_workflow import groups
from ipt_workflow.course.rules.messages import MESSAGES
from ipt_workflow.web import language
from ipt_workflow.web.refusal_sentences import SENTENCES
from ipt_workflow.web.refusals import KNOWN, sentence, words

NOT_ON_PAGES = re.compile(r"`|\b(entry|entries|trigger|void|voided|seq|relink|deviation|fire|cosign|override)\b", re.IGNORECASE)


@pytest.fixture
def german():
    token = language._reader.set(language.Reader("de", language.ANYBODY.zone))
    yield
    language._reader.reset(token)


@pytest.mark.parametrize("message_id", sorted(KNOWN))
def test_a_sentence_has_no_word_that_only_programs_know(message_id):
    assert not NOT_ON_PAGES.findall(KNOWN[message_id])


def test_every_sentence_of_the_pages_says_a_known_refusal_with_its_parameters():
    known = MESSAGES | groups.MESSAGES
    assert set(SENTENCES) <= set(known)
    assert {name: places(SENTENCES[name]) - places(known[name]) for name in SENTENCES} == {name: set() for name in SENTENCES}


def test_a_refusal_is_said_with_the_words_of_the_forms():
    refusals = reach("in_initial").refused("agree_contract", client_agrees=False, therapist_agrees=False)
    assert sentence(refusals["both_agree"]) == (
        "The contract lacks the agreement of: client and therapist. Record it once client and therapist both agree."
    )


def test_a_soft_refusal_does_not_say_how_programs_pass_it():
    soft = reach("ready_for_middle", without=("record_timeline", "select_focus")).refused("begin_middle")["timeline_recorded"]
    assert sentence(soft) == MESSAGES["timeline_recorded"]


def test_a_refusal_that_was_stored_without_its_id_stays_as_it_was_written():
    refusal = reach("ready_for_middle", without=("select_focus",)).refused("begin_middle")["focus_selected"]
    old = msgspec.structs.replace(refusal, message="It was so.", message_id=msgspec.UNSET, parameters=msgspec.UNSET)
    assert sentence(old) == "It was so."


@pytest.mark.parametrize(
    ("value", "read"),
    (
        (12, "12"),
        ("role_dispute", "role dispute"),
        ("2026-01-05", "5 January 2026"),
        ("2026-01-05T09:30:00+00:00", "5 Jan 2026, 09:30"),
        (("grief", "role_dispute"), "grief and role dispute"),
        ((), "none"),
        ("ipt@2", "ipt@2"),
    ),
)
def test_a_parameter_is_read_in_words(value, read):
    assert words(value) == read


def test_a_refusal_is_said_in_german(german):
    refusals = reach("in_initial").refused("agree_contract", client_agrees=False, therapist_agrees=False)
    assert sentence(refusals["both_agree"]).startswith("Dem Behandlungsvertrag fehlt die Zustimmung von:")

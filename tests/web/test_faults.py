"""What the service finds wrong is said in the words of the pages and in the reader's language."""

import ast
import inspect
import re

import pytest

from ipt_workflow.access import cover, key_sets, people, retention, scopes
from ipt_workflow.course import commands
from ipt_workflow.ehr.deliveries import addresses, redelivery, subscriptions
from ipt_workflow.ehr.notices import sources
from ipt_workflow.ehr.smart import systems
from ipt_workflow.errors import Fault
from ipt_workflow.groups import group, sessions
from ipt_workflow.service import proposals
from ipt_workflow.service.access import cover as arranged_cover
from ipt_workflow.service.access import people as staff
from ipt_workflow.service.access import tokens
from ipt_workflow.service.groups import groups
from ipt_workflow.service.privacy import log_months, policies
from ipt_workflow.service.privacy import retention as records_due
from ipt_workflow.service.supervision import meetings
from ipt_workflow.web import language
from ipt_workflow.web.faults import SENTENCES, UNFIT, field_faults, sentences

SOURCES = (
    *(commands, cover, arranged_cover, people, staff, tokens, scopes, key_sets, systems, sources, subscriptions, redelivery),
    *(addresses, group, groups, sessions, meetings, proposals),
    *(retention, records_due, log_months, policies),
)
BEGINS = re.compile(r"(is|must|has|names|lies|makes|was|lacks|holds|or|cannot) ")
# Of what no form sends: names that the service does not know, and what only programs write.
NOT_ON_FORMS = re.compile(
    r"is not (a rule|known|a trigger).*|must be (a )?3|is allowed only with void: true|must have a value.*|has roles 3|must name what changes: 3"
    r"|must name each client once|cannot be read: 3"
)


def messages(module) -> set[str]:
    """The messages that a module writes: its texts that read as one, with a 3 for what is filled in."""
    return {each for each in _texts(ast.parse(inspect.getsource(module))) if BEGINS.match(each)}


def _texts(node: ast.AST):
    if text := _text(node):
        yield text
    else:
        for each in ast.iter_child_nodes(node):
            yield from _texts(each)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each) or "3" for each in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.fixture
def german():
    token = language._reader.set(language.Reader("de", language.ANYBODY.zone))
    yield
    language._reader.reset(token)


@pytest.mark.parametrize("module", SOURCES, ids=[each.__name__.removeprefix("ipt_workflow.") for each in SOURCES])
def test_whatever_a_form_can_have_wrong_is_said_in_the_words_of_the_pages(module):
    found = messages(module)
    assert found
    known = [re.compile(pattern) for pattern, _ in SENTENCES]
    assert (
        sorted(each for each in found if not any(one.fullmatch(each) for one in known) and not NOT_ON_FORMS.fullmatch(each)) == []
    )


@pytest.mark.parametrize(
    "message",
    [
        *("is required", "must not be empty", "must have at least 2 characters", "must have at most 40 characters"),
        *("must have at least 1 item", "must have at most 3 items", "must be at least 0", "must be at most 27"),
        *("must be one of a, b", "must be a date such as 2026-03-01", "must lie in the years 1900 to 2100"),
    ],
)
def test_what_any_value_can_have_wrong_has_its_sentence(message):
    assert not sentences([Fault("", message)])[0].startswith("This does not fit")


def test_numbers_in_a_message_are_kept():
    fault = Fault("until", "must come at most 92 days after `from`; a transfer is for longer")
    (found,) = field_faults([fault], {})
    assert (found.name, found.text()) == ("until", "Cover lasts at most 92 days. For longer, transfer the courses.")


def test_nobody_who_reads_german_reads_english(german):
    assert sentences([Fault("url", "must begin with https://")]) == ["Die Adresse muss mit https:// beginnen."]
    assert sentences([Fault("", "is something new"), Fault("", "is something else")]) == [language.gettext(UNFIT)]


def test_who_reads_english_is_told_what_has_no_sentence_yet():
    assert sentences([Fault("", "is something new")]) == ["This does not fit: is something new."]

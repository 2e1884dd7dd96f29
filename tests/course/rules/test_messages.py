"""Every sentence of the catalogue is used, every used id is in it, and every place in a sentence is filled."""

import ast
from pathlib import Path

import msgspec
import pytest
from support.course_walk import places, reach

from ipt_workflow import groups
from ipt_workflow.course import rules
from ipt_workflow.course.rules import REGISTRY
from ipt_workflow.course.rules.messages import BY_REASON, MESSAGES, render
from ipt_workflow.errors import Refusal

REFUSING = {"refuses", "needs_supervisor", "_refusal"}  # the last one: of groups
ARGUMENTS = {"current", "required", "remedies", "earliest", "severity", "source"}  # of a refusal, not of its sentence
RULES = [Path(module.__file__) for module in (
    rules.agreement, rules.amendments, rules.calendar, rules.ending, rules.episode, rules.first_phase, rules.moved_entries, rules.order,
    rules.processing, rules.rhythm, rules.sessions, rules.setting, rules.suitability, groups.rules,
)]  # fmt: skip
CATALOGUE = MESSAGES | groups.MESSAGES


def functions() -> list[ast.FunctionDef]:
    """Every function of the files that hold rules."""
    return [node for file in RULES for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]


def constants(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def refusing() -> list[ast.Call]:
    """Every call in them that makes a refusal."""
    calls = [node for function in functions() for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).rpartition(".")[2] in REFUSING]


def written() -> list[tuple[set[str], set[str]]]:
    """The ids that each of these calls names itself, and the names of its parameters."""
    return [
        (constants(call.args[0]), {keyword.arg for keyword in call.keywords} - ARGUMENTS)
        for call in refusing()
        if isinstance(call.args[0], ast.Constant | ast.IfExp)
    ]


def test_every_sentence_is_used_and_every_used_id_has_a_sentence():
    named = set().union(*map(constants, functions())) | {lack.message_id for lack in rules.agreement.LACKS.values()}
    assert set(CATALOGUE) - named == set()
    assert len(written()) > 80
    assert set().union(*(ids for ids, _ in written())) - set(CATALOGUE) == set()


def test_every_place_is_filled_and_nothing_else_is_given():
    """Where a call has its id from elsewhere, `refused_by` compares the two."""
    for ids, parameters in written():
        for message_id in ids:
            assert places(CATALOGUE[message_id]) == parameters, message_id


def test_an_id_begins_with_the_name_of_a_rule():
    names = {message_id.partition(".")[0] for message_id in CATALOGUE}
    assert names - set(REGISTRY) - set(groups.RULES) == {"measured"}, "the four rules about measures share their sentences"


def test_no_id_is_in_both_catalogues():
    assert len(CATALOGUE) == len(MESSAGES) + len(groups.MESSAGES)


@pytest.mark.parametrize("message_id", sorted(CATALOGUE))
def test_a_sentence_says_what_is_wrong_and_what_to_do_next(message_id):
    """Two sentences; or one, where nothing can be done about it."""
    sentence = CATALOGUE[message_id]
    assert sentence[0].isupper() or sentence[0] in "{`"
    assert sentence.endswith((".", "}."))
    assert "  " not in sentence
    assert sentence.count(". ") >= 1 or message_id == "contract_fits_phases.exact"


def test_lists_are_read_as_words():
    def filled(*items: str | int) -> str:
        return render("{items}", {"items": items}, rule="", severity="hard")

    assert filled("role_dispute") == "role dispute"
    assert filled(4, 7) == "4 and 7"
    assert filled("grief", "role_dispute", "role_transition") == "grief, role dispute and role transition"


def test_a_soft_refusal_says_how_a_reason_passes_it_and_a_hard_one_does_not():
    walk = reach("ready_for_middle", without=("record_timeline", "select_focus"))
    refusals = walk.refused("begin_middle")
    soft, hard = refusals["timeline_recorded"], refusals["focus_selected"]
    assert (soft.severity, hard.severity) == ("soft", "hard")
    assert soft.message == f"{MESSAGES['timeline_recorded']} {BY_REASON.format(rule='timeline_recorded')}"
    assert "`timeline_recorded` in `override`" in soft.message
    assert hard.message == MESSAGES["focus_selected.select"]


def test_parameters_come_back_from_json_as_they_were():
    (refusal,) = reach("ready_for_middle", without=("select_focus",)).refused("begin_middle").values()
    assert refusal.parameters == {}
    (refusal,) = reach("in_initial").refused("agree_contract", client_agrees=False, therapist_agrees=False).values()
    assert refusal.parameters == {"who": ("client", "therapist")}
    assert refusal.message.startswith("The contract lacks the agreement of: client and therapist.")
    assert msgspec.json.decode(msgspec.json.encode(refusal), type=Refusal) == refusal


def test_a_refusal_stored_before_the_fields_has_neither():
    stored = (
        b'{"rule":"r","severity":"hard","message":"m","current":null,"required":null,"remedies":[],"earliest":null,"source":"s"}'
    )
    refusal = msgspec.json.decode(stored, type=Refusal)
    assert (refusal.message_id, refusal.parameters) == (msgspec.UNSET, msgspec.UNSET)
    assert msgspec.json.encode(refusal) == stored

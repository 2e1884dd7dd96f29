"""A definition value by value, with its sources, and what differs between two versions."""

import copy
from pathlib import Path

import pytest

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.protocols.statements import differences, statements

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES)


@pytest.fixture
def ipt(catalogue):
    return catalogue.get("ipt", 2).source


def by_key(definition):
    return {each.key: each for each in statements(definition)}


def test_a_range_is_one_value_with_its_source(ipt):
    weeks = by_key(ipt)["contract.weeks"]
    assert weeks.value == {"min": 12, "max": 16}
    assert [each.source for each in weeks.sources] == ["S1: 12-16 weeks"]


def test_a_list_has_the_source_of_the_whole_and_those_of_its_parts(ipt):
    keys = [each.key for each in by_key(ipt)["phases[initial].requires"].sources]
    assert keys == ["phases[0].requires", "phases[0].requires[5]", "phases[0].requires[6]"]


def test_a_value_without_a_source_of_its_own_has_that_of_the_table_around_it(ipt):
    assert [each.key for each in by_key(ipt)["measures[social_support].baseline_days"].sources] == ["measures"]


def test_every_number_of_what_ships_has_a_source(catalogue):
    for protocol in catalogue.protocols.values():
        for each in statements(protocol.source):
            numbers = each.value.values() if isinstance(each.value, dict) else (each.value,)
            if any(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
                assert each.sources, f"{protocol.key} {each.key}"


def test_a_definition_does_not_differ_from_itself(catalogue):
    assert all(differences(each.source, each.source) == [] for each in catalogue.protocols.values())


def test_what_differs_is_told_by_name(ipt):
    changed = copy.deepcopy(ipt)
    changed["contract"]["weeks"]["max"] = 20
    changed["phases"].insert(1, {"id": "bridge", "title": "Bridge", "sessions_min": 1, "sessions_max": 2})
    del changed["attention"]["misses"]
    found = {each.key: each.kind for each in differences(ipt, changed)}
    assert found == {
        "contract.weeks": "changed",
        "phases[bridge].title": "added",
        "phases[bridge].sessions_min": "added",
        "phases[bridge].sessions_max": "added",
        "attention.misses": "removed",
    } | {key: "source" for key in found if key.startswith(("phases[middle]", "phases[final]"))}


def test_a_source_that_changed_is_told_of_a_value_that_did_not(ipt):
    changed = copy.deepcopy(ipt)
    row = next(each for each in changed["evidence"] if each["key"] == "contract.grace_days")
    row["source"] = "our own audit of 2026"
    (found,) = differences(ipt, changed)
    assert (found.key, found.kind) == ("contract.grace_days", "source")
    assert found.after.sources[-1].source == "our own audit of 2026"


def test_a_rule_without_parameters_is_a_value(ipt):
    changed = copy.deepcopy(ipt)
    changed["phases"][1]["rules"] = changed["phases"][1]["rules"][:1]
    assert [(each.key, each.kind) for each in differences(ipt, changed)] == [("phases[middle].rules[focus_worked]", "removed")]

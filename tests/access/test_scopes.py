"""Scopes: what may be registered, what is granted of it, and what a request needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.access import scopes
from ipt_workflow.access.scopes import KINDS, LETTERS, Need, allows, granted, normal
from ipt_workflow.api.scopes import NEEDS
from ipt_workflow.ehr.fhir.kinds import KINDS as FHIR_KINDS
from ipt_workflow.errors import CommandInvalid

LETTER_SETS = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=5, unique=True).map(
    lambda chosen: "".join(each for each in LETTERS if each in chosen)
)
SCOPES = st.builds(lambda kind, letters: f"system/{kind}.{letters}", st.sampled_from(("*", *KINDS)), LETTER_SETS)
SETS = st.lists(SCOPES, min_size=1, max_size=5)
NEEDED = st.builds(Need, st.sampled_from(("*", *KINDS)), st.sampled_from(LETTERS))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("system/Encounter.rs",), ("system/Encounter.rs",)),
        (("system/*.rs", "system/*.u"), ("system/*.rus",)),
        (
            ("system/Encounter.read", "system/Task.write", "system/Group.*"),
            ("system/Encounter.rs", "system/Task.cud", "system/Group.cruds"),
        ),
    ],
)
def test_scopes_are_kept_in_the_form_of_smart_2_one_for_each_kind(given, kept):
    assert normal(given) == kept


@pytest.mark.parametrize(
    "wrong",
    ["", "system/Encounter", "system/Encounter.", "system/Encounter.sr", "system/Encounters.rs", "system/encounter.rs", "user/*.rs", "system/*.rs?x=1",
     "system/*.rs\n", "openid", "system/*.rs system/*.c"],
)  # fmt: skip
def test_a_scope_that_means_nothing_here_cannot_be_registered(wrong):
    with pytest.raises(CommandInvalid) as refused:
        normal(("system/*.rs", wrong))
    assert [each.where for each in refused.value.faults] == ["scopes[1]"]
    assert "system/Encounter.r" in refused.value.faults[0].message


@pytest.mark.parametrize("count", (0, scopes.SCOPES_MAX + 1))
def test_there_are_some_scopes_and_not_too_many(count):
    with pytest.raises(CommandInvalid):
        normal(("system/*.rs",) * count)


@pytest.mark.parametrize(
    ("requested", "registered", "given"),
    [
        ("system/*.rs", ("system/*.rs",), ("system/*.rs",)),
        ("system/*.rs", ("system/Encounter.rs", "system/Task.u"), ("system/Encounter.rs",)),
        ("system/Encounter.cruds", ("system/*.r", "system/Encounter.s"), ("system/Encounter.rs",)),
        ("system/Encounter.read openid launch/patient", ("system/*.cruds",), ("system/Encounter.rs",)),
        ("system/Encounter.rs?status=finished", ("system/*.cruds",), ()),  # a narrower scope than can be enforced
        ("system/Observation.rs", ("system/Encounter.rs",), ()),
        ("user/*.rs patient/*.rs", ("system/*.cruds",), ()),
    ],
)
def test_a_system_gets_what_it_asks_for_and_has(requested, registered, given):
    assert granted(requested, registered) == given


@given(SETS, SETS, NEEDED)
def test_what_is_granted_allows_what_was_both_asked_for_and_registered(requested, registered, need):
    given_scopes = granted(" ".join(requested), registered)
    both = allows(tuple(requested), need) and allows(tuple(registered), need)
    assert allows(given_scopes, need) == both
    assert normal(given_scopes) == given_scopes if given_scopes else True


def test_only_a_scope_of_every_kind_covers_a_need_of_every_kind():
    assert not allows(("system/Encounter.cruds", "system/Observation.cruds"), Need("*", "r"))
    assert allows(("system/*.r",), Need("*", "r"))
    assert allows(("system/*.r",), Need("Encounter", "r"))
    assert not allows(("system/*.r",), Need("Encounter", "s"))


def test_every_kind_that_can_be_registered_is_needed_somewhere():
    needed = {row.partition(".")[0] for row in NEEDS.values()} - {"*", "{kind}", "{member}"}
    assert set(KINDS) == needed | set(FHIR_KINDS)

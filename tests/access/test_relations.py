"""Who may see a course, and why, as one reading of the predicate."""

import pytest

from ipt_workflow.access.relations import AccessRules, Ties, Viewer, access_rules, at_once, may_see_group, relation

ANN = Viewer("ann", "therapist")
SUPERVISOR = Viewer("sue", "supervisor")
OF_SUPERVISEES = Viewer("sue", "supervisor", "supervisees")
NOTHING = Ties()
EVERYTHING = Ties(facilitates=True, covers=True, supervises=True)
NAMED = Ties(named=True, facilitates=True, covers=True, supervises=True)


@pytest.mark.parametrize(
    ("who", "therapist", "ties", "found"),
    [
        (ANN, "ann", NOTHING, ("own", "TREAT", None)),
        (ANN, "ben", Ties(facilitates=True), ("group", "TREAT", None)),
        (ANN, "ben", Ties(covers=True), ("cover", "TREAT", "ben")),
        (ANN, "ben", Ties(supervises=True), None),
        (ANN, None, NOTHING, None),
        (SUPERVISOR, "ben", NOTHING, ("organisation", "HQUALIMP", None)),
        (SUPERVISOR, "sue", NOTHING, ("own", "TREAT", None)),
        (OF_SUPERVISEES, "ben", NOTHING, None),
        (OF_SUPERVISEES, "ben", Ties(supervises=True), ("supervision", "HQUALIMP", None)),
        (OF_SUPERVISEES, "ben", Ties(covers=True), ("cover", "TREAT", "ben")),
        (Viewer("ada", "auditor"), "ben", NOTHING, ("organisation", "HOPERAT", None)),
        (Viewer("ehr:x", "ehr"), "ben", NOTHING, ("system", "TREAT", None)),
        (Viewer("ben", "admin"), "ben", EVERYTHING, None),
        (Viewer("ben", "operator"), "ben", EVERYTHING, None),
    ],
)
def test_a_relation_says_on_what_basis_and_for_what(who, therapist, ties, found):
    related = relation(who, therapist, ties, restricted=False)
    assert (related and (related.basis, related.purpose, related.on_behalf_of)) == found


@pytest.mark.parametrize("who", [ANN, SUPERVISOR, OF_SUPERVISEES])
def test_a_restricted_course_admits_its_therapist_and_who_is_named(who):
    assert relation(who, who.person, NOTHING, restricted=True).basis == "own"
    assert relation(who, "ben", EVERYTHING, restricted=True) is None
    assert relation(who, "ben", NAMED, restricted=True).basis == "group"


def test_a_supervisor_of_the_organisation_who_is_named_sees_a_restricted_course():
    assert relation(SUPERVISOR, "ben", Ties(named=True), restricted=True).basis == "organisation"


def test_a_name_admits_and_does_not_grant():
    assert relation(ANN, "ben", Ties(named=True), restricted=True) is None


@pytest.mark.parametrize("role", ["auditor", "ehr"])
def test_no_restriction_binds_auditors_and_systems(role):
    assert at_once(Viewer("x", role), "ben", restricted=True) is not None


@pytest.mark.parametrize(("therapist", "restricted"), [("ann", False), ("ann", True)])
def test_a_therapists_own_course_takes_no_further_question(therapist, restricted):
    assert at_once(ANN, therapist, restricted=restricted).basis == "own"


def test_a_supervisor_of_the_organisation_asks_further_only_of_restricted_courses():
    assert at_once(SUPERVISOR, "ben", restricted=False).basis == "organisation"
    assert at_once(SUPERVISOR, "ben", restricted=True) is None


def test_groups_are_seen_by_their_facilitators_their_supervisors_and_the_organisations_readers():
    named = frozenset({"ben"})
    assert may_see_group(Viewer("ben", "therapist"), named)
    assert not may_see_group(ANN, named)
    assert may_see_group(SUPERVISOR, named)
    assert not may_see_group(OF_SUPERVISEES, named)
    assert may_see_group(OF_SUPERVISEES, named, frozenset({"ben"}))
    assert not may_see_group(Viewer("ben", "admin"), named)


def test_supervisors_see_the_organisation_unless_it_decides_otherwise():
    assert access_rules(b"{}") == AccessRules("organisation")
    assert access_rules(b'{"supervision": "supervisees", "later": 1}') == AccessRules("supervisees")

"""Rules about the problem area and the contract."""

import pytest
from support.course_walk import S, T, Walk, covers, reach, refused_by

from ipt_workflow.errors import CommandInvalid

GRIEF = {"primary": "grief", "people": ["p2"]}
DISPUTE = {"primary": "role_dispute", "stage": "renegotiation", "people": ["p1"]}
TRANSITION = {"primary": "role_transition", "old_role": "Employee", "new_role": "Retired"}


def choosing() -> Walk:
    """In the first phase, with an inventory of a living and a dead person."""
    return reach("in_initial").do("record_inventory")


def in_dispute() -> Walk:
    walk = choosing()
    walk.fire("select_focus", data=DISPUTE)
    return walk


def agreed(**terms) -> Walk:
    walk = reach("in_initial")
    walk.fire("agree_contract", **terms)
    return walk


@covers("focus_area_allowed")
def test_a_problem_area_is_one_of_the_protocols():
    walk = choosing()
    refused_by(walk, "focus_area_allowed", "select_focus", data={"primary": "lost_healthy_self"}, current=["lost_healthy_self"],
           required="one of grief, role_dispute, role_transition, interpersonal_deficits")  # fmt: skip
    refused_by(walk, "focus_area_allowed", "select_focus", data={**TRANSITION, "secondary": "work"}, current=["work"])
    walk.session(sign=False)
    refused_by(walk, "focus_area_allowed", "sign_session", data={"session": walk.last, "focus": "work"})
    assert walk.fire("select_focus", data=TRANSITION).focus.areas == ("role_transition",)


@covers("focus_count")
def test_there_is_one_primary_area_and_at_most_one_other():
    walk = choosing()
    refused_by(walk, "focus_count", "select_focus", data={**TRANSITION, "secondary": "role_transition"},
           current=["role_transition", "role_transition"], required="at most 2, each once")  # fmt: skip
    assert walk.fire("select_focus", data={**TRANSITION, **GRIEF, "secondary": "role_transition"}).focus.areas == (
        "grief",
        "role_transition",
    )


LOST = {"grief": "people: the person lost, who is `deceased` in the inventory"}
OTHER_PARTY = {"role_dispute": "people: the living person in dispute"}


@covers("focus_grounded")
@pytest.mark.parametrize(
    ("people", "why", "says"),
    (
        ([], "lost", {}),
        (["p1"], "living", {"p1": "living"}),
        (["p9"], "unknown", {"p9": "unknown"}),
        (["p2", "p9"], "unknown", {"p2": "died", "p9": "unknown"}),
    ),
)
def test_grief_names_the_person_lost(people, why, says):
    walk = choosing()
    refusal = refused_by(walk, "focus_grounded", "select_focus", data={"primary": "grief", "people": people},
                         remedies=("record_inventory",))  # fmt: skip
    assert (refusal.message_id, refusal.current["people"]) == (f"focus_grounded.{why}", says)
    assert refusal.required == (LOST if why != "unknown" else {"people": "people: persons of the inventory"})
    assert walk.fire("select_focus", data=GRIEF).focus.primary == "grief"


def test_somebody_who_was_never_born_is_lost():
    walk = choosing()
    walk.fire("record_inventory", data={"people": [{"id": "child", "deceased": True, "relationship": "Lost in the fifth month"}]})
    assert walk.fire("select_focus", data={"primary": "grief", "people": ["child"]}).focus.primary == "grief"


@pytest.mark.parametrize(
    ("people", "why"),
    (([], "other_party"), (["p2"], "dead"), (["p9"], "unknown"), (["p1", "p9"], "unknown")),
)
def test_a_dispute_is_with_a_living_person_of_the_inventory(people, why):
    walk = choosing()
    refusal = refused_by(walk, "focus_grounded", "select_focus", data={**DISPUTE, "people": people}, remedies=("record_inventory",))
    assert refusal.message_id == f"focus_grounded.{why}"
    assert refusal.required == (OTHER_PARTY if why != "unknown" else {"people": "people: persons of the inventory"})
    assert walk.fire("select_focus", data={**DISPUTE, "people": ["p1", "p2"]}).focus.stage == "renegotiation"


def test_the_people_of_a_transition_are_optional_and_known():
    walk = choosing()
    refused_by(walk, "focus_grounded", "select_focus", data={**TRANSITION, "people": ["p9"]}, remedies=("record_inventory",))
    for people in ([], ["p1"], ["p2"]):
        walk.fire("select_focus", data={**TRANSITION, "people": people})


def test_a_person_who_has_died_since_is_mourned_and_no_party_of_a_dispute_any_more():
    walk = in_dispute()
    walk.fire("record_inventory", data={"people": [{"id": "p1", "deceased": True}]})
    assert refused_by(walk, "focus_grounded", "select_focus", data=DISPUTE).message_id == "focus_grounded.dead"
    assert walk.fire("select_focus", data={"primary": "grief", "people": ["p1"]}).focus.primary == "grief"


@pytest.mark.parametrize(
    ("lacking", "enough", "required"),
    (
        ({"primary": "role_dispute", "people": ["p1"]}, DISPUTE, {"role_dispute": "stage"}),
        ({"primary": "role_transition", "old_role": "Employee"}, TRANSITION, {"role_transition": "old_role and new_role"}),
        (
            {"primary": "grief", "people": ["p1", "p2"], "secondary": "role_dispute"},
            {"primary": "grief", "people": ["p1", "p2"], "secondary": "role_dispute", "stage": "impasse"},
            {"role_dispute": "stage"},
        ),
        ({"primary": "role_dispute"}, DISPUTE, {"role_dispute": "stage; people: the living person in dispute"}),
        (
            {"primary": "grief", "people": ["p1"], "secondary": "interpersonal_deficits"},
            {**GRIEF, "secondary": "interpersonal_deficits", "others_do_not_fit": True},
            {**LOST, "interpersonal_deficits": "others_do_not_fit: true"},
        ),
    ),
    ids=str,
)
def test_a_problem_area_says_all_that_it_lacks(lacking, enough, required):
    walk = choosing()
    refusal = refused_by(walk, "focus_grounded", "select_focus", data=lacking)
    assert refusal.required == required
    assert refusal.current["given"] == sorted(lacking)
    walk.fire("select_focus", data=enough)


def test_interpersonal_deficits_come_last_unless_a_reason_is_given():
    walk = choosing()
    refusal = refused_by(walk, "focus_grounded", "select_focus", severity="soft", data={"primary": "interpersonal_deficits"},
                         required={"interpersonal_deficits": "others_do_not_fit: true"})  # fmt: skip
    assert "`others_do_not_fit`" in refusal.message
    assert walk.fire("select_focus", data={"primary": "interpersonal_deficits", "others_do_not_fit": True}).focus


def test_people_of_an_inventory_that_was_only_attested_are_taken_at_their_word():
    walk = Walk()
    walk.fire("adopt", S, artefacts=["inventory"])
    for data in (DISPUTE, {"primary": "grief", "people": ["mother"]}):
        walk.fire("select_focus", data=data)
    refused_by(walk, "focus_grounded", "select_focus", data={"primary": "grief"})
    walk.fire("record_inventory", data={"people": [{"id": "mother"}]})
    assert refused_by(walk, "focus_grounded", "select_focus", data={"primary": "grief", "people": ["mother"]}).message_id.endswith(
        "living"
    )


@covers("focus_selected")
def test_the_middle_phase_waits_for_a_problem_area():
    walk = reach("ready_for_middle", without=("select_focus",))
    refused_by(walk, "focus_selected", "begin_middle", current=None, remedies=("select_focus",),
           required="one of grief, role_dispute, role_transition, interpersonal_deficits")  # fmt: skip
    walk.do("select_focus", "begin_middle")


def test_a_problem_area_may_be_chosen_again_in_the_first_phase():
    walk = in_dispute()
    assert walk.fire("select_focus", data=TRANSITION).focus.changes == 0


@covers("formulation_renewed")
def test_the_area_is_changed_on_the_ground_of_a_newer_accepted_formulation():
    walk = reach("in_middle")
    refused_by(walk, "formulation_renewed", "change_focus", current=1, remedies=("record_formulation", "accept_formulation"))
    walk.do("record_formulation")
    refused_by(walk, "formulation_renewed", "change_focus", current=1, remedies=("accept_formulation",))
    walk.fire("accept_formulation", response="declines")
    refused_by(walk, "formulation_renewed", "change_focus", current=1)
    walk.do("accept_formulation")
    assert walk.c.focus.formulation == 1, "a newer formulation is not yet what the area rests on"
    focus = walk.fire("change_focus").focus
    assert (focus.primary, focus.formulation, focus.changes) == ("role_dispute", 2, 1)
    refused_by(walk, "formulation_renewed", "change_focus", current=2)


@pytest.mark.parametrize("order", (
    ("record_formulation", "accept_formulation", "select_focus"),
    ("select_focus", "record_formulation", "accept_formulation"),
    ("record_formulation", "select_focus", "accept_formulation"),
    ("record_formulation", "accept_formulation", "select_focus", "record_formulation", "accept_formulation"),
), ids=str)  # fmt: skip
def test_the_first_change_needs_a_newer_formulation_in_whatever_order_the_first_phase_was_written(order):
    walk = reach("ready_for_middle", without=("select_focus", "record_formulation", "accept_formulation")).do(
        *order, "begin_middle"
    )
    first = order.count("record_formulation")
    assert walk.c.focus.formulation == first
    refused_by(walk, "formulation_renewed", "change_focus", current=first, remedies=("record_formulation", "accept_formulation"))
    walk.do("record_formulation", "accept_formulation", "change_focus")
    assert walk.c.focus.formulation == first + 1


def test_a_formulation_with_which_the_last_phase_began_is_no_newer_one():
    walk = reach("ready_for_final").do("record_formulation", "accept_formulation", "begin_final")
    refused_by(walk, "formulation_renewed", "change_focus", alone=False, current=2)
    walk.do("record_formulation", "accept_formulation")
    assert "formulation_renewed" not in walk.refused("change_focus")


@covers("focus_change_in_time")
def test_changing_the_area_after_two_thirds_of_the_sessions_wants_a_reason():
    walk = reach("with_remaining", remaining=5).do("record_formulation", "accept_formulation")
    assert walk.refused("change_focus") == {}
    walk.session()
    refused_by(
        walk, "focus_change_in_time", "change_focus", severity="soft", current=8, required="fewer than two thirds of 12 sessions"
    )
    assert walk.fire("change_focus", override=("focus_change_in_time",)).focus.changes == 1


@covers("dispute_stage_legal")
def test_a_dispute_moves_from_its_stage_to_one_that_can_follow():
    refused_by(reach("in_middle"), "dispute_stage_legal", "set_dispute_stage", current=["role_transition"], required="role_dispute",
           remedies=("change_focus",))  # fmt: skip
    walk = in_dispute()
    refused_by(walk, "dispute_stage_legal", "set_dispute_stage", stage="renegotiation", current="renegotiation",
           required="one of dissolution, impasse, resolved")  # fmt: skip
    walk.fire("set_dispute_stage", stage="impasse")
    refused_by(walk, "dispute_stage_legal", "set_dispute_stage", stage="resolved", current="impasse")
    walk.fire("set_dispute_stage", stage="renegotiation")
    walk.fire("set_dispute_stage", stage="resolved")
    for stage in ("renegotiation", "impasse", "dissolution", "resolved"):
        refused_by(walk, "dispute_stage_legal", "set_dispute_stage", stage=stage, current="resolved")


def test_a_course_without_a_problem_area_has_no_dispute():
    refused_by(reach("in_initial"), "dispute_stage_legal", "set_dispute_stage", current=None, remedies=("select_focus",))


@covers("contract_agreed")
def test_the_middle_phase_and_a_change_of_contract_wait_for_a_contract():
    walk = reach("ready_for_middle", without=("agree_contract",))
    refused_by(walk, "contract_agreed", "begin_middle", current=None, required="a contract", remedies=("agree_contract",))
    body = {
        "sessions": 13,
        "weeks": 13,
        "cadence_days": 7,
        "missed_count": False,
        "pause_stops_clock": False,
        "client_agrees": True,
        "therapist_agrees": True,
    }
    refused_by(walk, "contract_agreed", "amend_contract", data=body)
    walk.do("agree_contract")
    walk.fire("amend_contract", data=body)
    assert (walk.c.contract.sessions, walk.c.contract.amendments) == (13, 1)
    walk.do("begin_middle")


def test_a_change_of_contract_without_a_contract_says_only_what_it_lacks():
    walk = reach("ready_for_middle", without=("agree_contract",))
    assert "contract_agreed" in walk.refused("amend_contract", data={"weeks": 13, "client_agrees": True, "therapist_agrees": True})


@covers("both_agree")
@pytest.mark.parametrize("who", ("client", "therapist"))
def test_a_contract_is_agreed_by_both(who):
    walk = reach("in_initial")
    refused_by(
        walk,
        "both_agree",
        "agree_contract",
        **{f"{who}_agrees": False},
        current=[who],
        required="client_agrees and therapist_agrees",
    )
    walk.do("agree_contract")
    refused_by(walk, "both_agree", "amend_contract", **{f"{who}_agrees": False}, current=[who])
    walk.do("amend_contract")


@covers("contract_in_range")
@pytest.mark.parametrize("terms", ({"sessions": 11}, {"sessions": 17}, {"weeks": 11}, {"weeks": 17}), ids=str)
def test_a_contract_outside_the_protocols_range_needs_a_supervisor(terms):
    walk = reach("in_initial")
    refusal = refused_by(
        walk,
        "contract_in_range",
        "agree_contract",
        T,
        **terms,
        required={"sessions": "12 to 16", "weeks": "12 to 16"},
        remedies=("agree_contract",),
    )
    assert [(each.roles, each.via) for each in refusal.remedies] == [(("therapist",), "proposal")]
    assert refusal.current == {"sessions": 12, "weeks": 12} | terms
    contract = walk.fire("agree_contract", T, S, **terms).contract
    assert {name: getattr(contract, name) for name in terms} == terms
    assert walk.history[-1].cosigned_by == S.person


@pytest.mark.parametrize("number", (12, 16))
def test_the_ends_of_the_protocols_range_belong_to_it(number):
    assert agreed(sessions=number, weeks=number).c.contract.sessions == number


@covers("contract_fits_phases")
def test_a_contract_leaves_room_for_what_was_used_and_what_must_come():
    walk = reach("in_initial")
    for _ in range(3):
        walk.session()
    refused_by(walk, "contract_fits_phases", "agree_contract", sessions=6, current=6, required="at least 7", alone=False)
    assert "contract_fits_phases" not in walk.refused("agree_contract", sessions=7)
    walk = reach("with_remaining", remaining=6)
    refused_by(walk, "contract_fits_phases", "amend_contract", sessions=8, alone=False, current=8, required="at least 9")
    assert walk.fire("amend_contract", T, S, sessions=9).contract.sessions == 9
    assert walk.counted.remaining == 3


def test_once_the_last_phase_has_begun_its_number_of_sessions_is_fixed():
    walk = reach("in_final")
    refused_by(
        walk, "contract_fits_phases", "amend_contract", sessions=13, current=13, required="exactly 12: the final phase has begun"
    )
    assert walk.fire("amend_contract", weeks=16).contract.weeks == 16


def test_a_change_of_contract_names_only_what_changes():
    walk = agreed(sessions=14, weeks=15, cadence_days=10, missed_count=True)
    walk.fire("amend_contract", data={"weeks": 16, "client_agrees": True, "therapist_agrees": True})
    contract = walk.c.contract
    assert (contract.sessions, contract.weeks, contract.cadence_days, contract.missed_count) == (14, 16, 10, True)


def test_a_change_of_contract_without_a_reason_is_not_valid():
    walk = agreed()
    body = walk.body("amend_contract")
    del body["reason"]
    with pytest.raises(CommandInvalid, match="reason"):
        walk.preview(body)


MORE_OFTEN = {"cadence_days": 14, "client_agrees": True, "therapist_agrees": True}


def test_a_change_of_contract_is_judged_by_what_it_changes():
    """A supervisor agreed to 20 sessions once. A therapist alone may still change how often they are."""
    walk = reach("in_initial")
    walk.fire("agree_contract", T, S, sessions=20)
    assert walk.fire("amend_contract", data=MORE_OFTEN).contract.cadence_days == 14
    assert walk.fire("amend_contract", data={**MORE_OFTEN, "sessions": 20, "weeks": 14}).contract.weeks == 14
    refusal = refused_by(walk, "contract_in_range", "amend_contract", data={**MORE_OFTEN, "sessions": 20, "weeks": 17})
    assert refusal.parameters["outside"] == ("weeks",)
    refused_by(walk, "contract_in_range", "amend_contract", data={**MORE_OFTEN, "sessions": 19})


def test_the_weeks_change_of_a_contract_whose_sessions_do_not_fit():
    """Taken over in its last phase with fewer sessions left than that phase has."""
    walk = Walk()
    terms = {"sessions": 12, "weeks": 12}
    walk.fire("adopt", S, phase="final", attended={"initial": 3, "middle": 7}, contract=terms)
    refused_by(walk, "contract_fits_phases", "amend_contract", data={**MORE_OFTEN, "sessions": 14}, required="exactly 13: the final phase has begun")  # fmt: skip
    assert walk.fire("amend_contract", data={**MORE_OFTEN, "weeks": 13}).contract.weeks == 13
    assert walk.fire("amend_contract", data={**MORE_OFTEN, "sessions": 13}).contract.sessions == 13

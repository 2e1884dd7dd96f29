"""Moves to another protocol or version: facts that carry over, new requirements, invalid facts and obstacles."""

import msgspec
import pytest
from support.course_walk import DAY, MINUTE, S, T, Walk, distinct, ipt, reach, replaced, variant, version

from ipt_workflow.course import carry_over, counters
from ipt_workflow.course.carry_over import FACTS, INVALID, Move
from ipt_workflow.course.effects.protocol_change import DROPPED
from ipt_workflow.course.fold import fold
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.protocols.definition import Bounds, ConsentSpec, FocusSpec, PhaseSpec, RhythmSpec, SickRoleSpec, SupervisionSpec

ANOTHER_VISIT = ("overlaps_session",)  # the rules to override for a second visit within the hour


def planned(walk: Walk, new) -> Move:
    return walk.machine.plan(walk.c, new, walk.context(S))


def moved(walk: Walk, new, trigger: str = "migrate_protocol", **more) -> Move:
    """The data of the move's entry."""
    walk.target = new
    walk.fire(trigger, S, **more)
    return carry_over.move(walk.history[-1].data)


def names(findings) -> list[str]:
    return [each.name for each in findings]


def contract(**bounds):
    return replaced(ipt().contract, **{name: Bounds(*ends) for name, ends in bounds.items()})


def phase(name: str, least: int = 1, most: int | None = None, **more) -> PhaseSpec:
    return PhaseSpec(id=name, title=name, sessions_min=least, sessions_max=most, **more)


INITIAL, MIDDLE, FINAL = ipt().phases


def of_phases(*phases: PhaseSpec, **changes):
    return distinct(replaced(version(3), phases=phases, **changes))


# A protocol that leaves the sick role to therapist and client.
OPTIONAL = distinct(
    replaced(
        ipt(),
        sick_role=SickRoleSpec(mode="optional"),
        phases=(replaced(INITIAL, requires=tuple(each for each in INITIAL.requires if each != "sick_role")), MIDDLE, FINAL),
    )
)
OPEN_STAGES = (
    "referred",
    "in_initial",
    "ready_for_middle",
    "in_middle",
    "ready_for_final",
    "in_final",
    "ready_to_complete",
    "paused",
)


@pytest.mark.parametrize("stage", OPEN_STAGES)
def test_a_course_of_any_open_stage_carries_over_to_a_version_that_asks_for_nothing_new(stage):
    walk = reach(stage)
    before, plan = walk.c, planned(walk, version(3))
    assert (plan.kind, plan.gaps, plan.invalid, plan.obstacles) == ("carries_over", (), (), ())
    assert plan.explanation == "Everything carries over."
    assert (plan.from_, plan.to) == ("ipt@2", "ipt@3")
    move = moved(walk, version(3))
    assert move == plan
    pins = ("protocol_version", "protocol_digest", "version", "last_occurred_at", "last_recorded_at")
    assert replaced(walk.c, **{name: getattr(before, name) for name in pins}) == before
    assert (walk.c.protocol_version, walk.c.version) == (3, before.version + 1)


def test_what_is_on_record_is_named_and_nothing_else():
    assert planned(reach("referred"), version(3)).carried == ()
    assert planned(reach("in_initial"), version(3)).carried == ("consent",)
    carried = planned(reach("ready_to_complete"), version(3)).carried
    assert set(FACTS) - set(carried) == {"contacts", "rhythm", "rhythm_target", "prescriber_review", "review", "risk"}


def test_the_phases_that_the_course_has_been_in_are_mapped():
    assert planned(reach("referred"), version(3)).phases == {}
    assert planned(reach("in_middle"), version(3)).phases == {"initial": "initial", "middle": "middle"}


def test_a_moved_course_goes_on_to_completion_under_the_new_version():
    walk = reach("in_middle")
    moved(walk, version(3, {"middle": {"requires": ("ending_announced", "timeline")}}))
    while (walk.counted.remaining or 0) > 3:
        walk.session()
    walk.do("announce_ending", "begin_final")
    for _ in range(3):
        walk.session()
    walk.do("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role").measure()
    assert walk.fire("complete").state == "completed"
    assert {fact.protocol_digest for fact in walk.history} == {ipt().digest, walk.protocol.digest}


def test_an_entry_names_the_protocol_that_judged_it_and_a_move_the_one_it_left():
    walk = reach("in_middle")
    moved(walk, version(3))
    walk.session()
    move, *later = walk.history[-3:]
    assert (move.trigger, move.protocol_digest, move.data["protocol_digest"]) == (
        "migrate_protocol",
        ipt().digest,
        walk.protocol.digest,
    )
    assert {fact.protocol_digest for fact in later} == {walk.protocol.digest}


def test_a_course_moves_on_and_back():
    walk = reach("in_middle")
    first = walk.protocol
    moved(walk, version(3))
    moved(walk, version(4))
    assert walk.c.protocol_version == 4
    moved(walk, first)
    assert (walk.c.protocol_version, walk.c.protocol_digest) == (2, first.digest)


def test_a_requirement_of_the_present_phase_that_is_not_met_is_a_new_gap():
    walk = reach("in_initial")
    walk.fire("record_evaluation")
    new = version(3, {"initial": {"requires": (*INITIAL.requires, "parent_contact")}})
    plan = planned(walk, new)
    assert plan.kind == "new_gaps"
    assert [(gap.name, gap.severity, gap.gate) for gap in plan.gaps] == [("parent_involved", "hard", "begin_middle")]
    assert plan.explanation == "Newly required: parent_involved (hard, begin_middle)."
    walk.fire("record_contact", kind="collateral", participants=["client", "parent"])
    assert planned(walk, new).kind == "carries_over"


def test_a_baseline_on_a_scale_that_the_new_version_does_not_count_is_a_gap():
    counting = tuple(replaced(spec, instruments=("qids@1",)) if spec.aim == "symptoms" else spec for spec in ipt().measures)
    walk = reach("ready_for_middle")
    plan = planned(walk, version(3, measures=counting))
    assert (plan.kind, [gap.name for gap in plan.gaps]) == ("new_gaps", ["baseline_measured"])
    walk.measure({"instrument": "qids", "total": 14})
    assert planned(walk, version(3, measures=counting)).kind == "carries_over"


def test_what_was_asked_for_before_is_no_new_gap():
    assert planned(reach("in_initial"), version(3)).gaps == ()
    harder = version(3, {"initial": {"soft": ()}})
    assert [(gap.name, gap.severity) for gap in planned(reach("in_initial"), harder).gaps] == [("timeline_recorded", "hard")]
    softer = version(3, {"initial": {"soft": ("timeline", "history")}})
    assert planned(reach("in_initial"), softer).gaps == ()


def test_what_a_gate_behind_the_course_asks_for_now_is_a_gap_that_holds_nothing_up():
    walk = reach("ready_for_middle", without=("record_timeline",))
    walk.fire("begin_middle", override=("timeline_recorded", "baseline_of_every_aim"))
    plan = planned(walk, version(3, {"initial": {"soft": ()}}))
    assert [(gap.name, gap.severity, gap.gate) for gap in plan.gaps] == [("timeline_recorded", "hard", "begin_middle")]
    assert plan.kind == "new_gaps"


def test_what_is_asked_for_before_the_start_is_a_gap_also_of_a_course_that_has_started():
    new = version(3, consent=ConsentSpec(by=("client", "guardian")), supervision=SupervisionSpec(required=True))
    for stage in ("referred", "in_middle"):
        plan = planned(reach(stage), new)
        assert ("supervisor_named", "start") in [(gap.name, gap.gate) for gap in plan.gaps]
    assert ("consent_given", "hard") in [(gap.name, gap.severity) for gap in planned(reach("in_middle"), new).gaps]


def test_a_requirement_of_a_later_phase_is_no_gap_yet():
    new = version(
        2,
        {"final": {"requires": (*FINAL.requires, "step_up")}, "middle": {"requires": ("ending_announced", "rhythm")}},
        rhythm=RhythmSpec(instrument="srm5", weeks=1),
    )
    assert planned(reach("in_initial"), new).kind == "carries_over"
    assert names(planned(reach("in_middle"), new).gaps) == ["rhythm_tracked"]


def test_a_contract_that_must_be_amended_is_a_gap():
    longer = version(3, {"final": {"sessions_min": 4, "sessions_max": 4}})
    walk = reach("ready_for_final")
    plan = planned(walk, longer)
    assert ("contract_fits_phases", "amend_contract") in [(gap.name, gap.gate) for gap in plan.gaps]
    moved(walk, longer)
    assert "final_remaining" in walk.refused("begin_final")
    walk.fire("amend_contract", sessions=13)
    assert walk.fire("begin_final").state == "final"


def test_a_full_sick_role_is_a_soft_gap_where_a_limited_one_is_given():
    plan = planned(reach("in_middle"), version(3, sick_role=SickRoleSpec(mode="limited")))
    assert [(gap.name, gap.severity, gap.gate) for gap in plan.gaps] == [("sick_role_mode_fits", "soft", "update_sick_role")]


@pytest.mark.parametrize("stage", ("ready_for_middle", "in_middle"))
def test_a_problem_area_that_the_new_version_lacks_is_dropped_and_another_can_be_chosen(stage):
    walk = reach(stage)
    new = version(3, focus=FocusSpec(areas=("grief", "role_dispute"), max=2))
    plan = planned(walk, new)
    assert names(plan.invalid) == ["focus"]
    assert "focus" not in plan.carried
    assert ("focus_selected", "begin_middle") in [(gap.name, gap.gate) for gap in plan.gaps]
    assert moved(walk, new) == plan
    assert walk.c.focus is None
    choosing = "change_focus" if stage == "in_middle" else "select_focus"
    assert walk.fire(choosing, primary="grief", people=["p2"]).focus.primary == "grief"


def test_of_several_problem_areas_the_primary_one_stays():
    walk = reach("ready_for_middle")
    walk.fire("select_focus", primary="role_transition", old_role="a", new_role="b", secondary="grief", people=["p2"])
    plan = moved(walk, version(3, focus=replaced(ipt().focus, max=1)))
    assert names(plan.invalid) == ["further_areas"]
    assert (walk.c.focus.primary, walk.c.focus.secondary) == ("role_transition", None)


def test_a_contract_outside_the_range_is_agreed_again_in_the_first_phase_and_stays_in_a_later_one():
    new = version(3, contract=contract(sessions=(14, 16)))
    walk = reach("ready_for_middle")
    plan = moved(walk, new)
    assert (names(plan.invalid), walk.c.contract) == (["contract"], None)
    assert names(plan.gaps) == ["contract_agreed"]
    assert walk.fire("agree_contract").contract.sessions == 14
    walk = reach("in_middle")
    plan = moved(walk, new)
    assert (names(plan.invalid), walk.c.contract.sessions) == (["contract_range"], 12)
    assert "contract" in plan.carried


def test_a_contract_that_a_supervisor_agreed_outside_the_same_range_stands():
    walk = reach("in_initial")
    walk.session()
    walk.do("record_evaluation")
    walk.fire("agree_contract", T, S, sessions=20, weeks=20)
    assert moved(walk, version(3)).invalid == ()
    assert walk.c.contract.sessions == 20


def test_a_sick_role_is_not_valid_where_none_is_used():
    walk = reach("in_middle")
    plan = moved(walk, version(3, {"final": {"requires": FINAL.requires[:5]}}, sick_role=SickRoleSpec(mode="not_used")))
    assert names(plan.invalid) == ["sick_role"]
    assert walk.c.sick_role.status == "pending"


def test_what_was_only_attested_goes_with_what_it_attested():
    walk = Walk()
    walk.fire(
        "adopt",
        S,
        data={
            "source": "Elsewhere",
            "phase": "initial",
            "attended": {"initial": 1},
            "artefacts": ["focus", "history"],
            "focus": {"primary": "grief"},
        },
    )
    plan = moved(walk, version(3, focus=FocusSpec(areas=("role_dispute",), max=1)))
    assert (names(plan.invalid), walk.c.attested) == (["focus"], ("history",))
    assert "focus_selected" in names(plan.gaps)


def test_everything_that_may_be_invalid_is_explained_and_nothing_else_is_dropped():
    assert set(DROPPED) < set(INVALID)
    assert set(INVALID) - set(DROPPED) == {"contract_range", "sessions"}


def stuck(walk: Walk, new) -> list[str]:
    plan = planned(walk, new)
    assert plan.kind == "stuck", plan
    walk.target = new
    assert "carries_over" in walk.refused("migrate_protocol", S)
    return names(plan.obstacles)


def test_a_phase_that_the_new_version_does_not_have_holds_the_course():
    new = of_phases(INITIAL, phase("work"), FINAL)
    assert stuck(reach("in_middle"), new) == ["state_allows"]
    assert stuck(reach("in_final"), new) == ["state_allows"]
    assert planned(reach("in_initial"), new).kind == "carries_over"
    renamed = of_phases(replaced(INITIAL, id="first"), MIDDLE, FINAL)
    assert "has no phase initial" in planned(reach("in_initial"), renamed).explanation
    assert planned(reach("referred"), renamed).kind == "carries_over"


def test_a_phase_that_was_put_before_the_present_one_holds_the_course():
    new = of_phases(INITIAL, phase("engagement"), MIDDLE, FINAL)
    assert stuck(reach("in_middle"), new) == ["state_allows"]
    assert "goes through initial, engagement, middle" in planned(reach("in_middle"), new).explanation
    assert planned(reach("in_initial"), new).kind == "carries_over"
    first = of_phases(phase("engagement"), INITIAL, MIDDLE, FINAL)
    assert stuck(reach("in_initial"), first) == ["state_allows"]


def test_more_sessions_than_the_cap_of_a_phase_hold_the_course_and_are_named():
    new = version(3, {"initial": {"sessions_max": 2, "sessions_max_extended": None}})
    walk = reach("in_middle", sessions=3)
    assert stuck(walk, new) == ["phase_session_cap"]
    third = walk.seqs("record_session")[2]
    assert f"Not kept by entry {third}:" in planned(walk, new).explanation
    assert planned(reach("in_middle", sessions=2), new).kind == "carries_over"


def test_an_extension_that_the_new_version_does_not_have_holds_no_more():
    walk = reach("in_initial")
    for _ in range(3):
        walk.session()
    walk.fire("extend_phase", S)
    walk.session()
    new = version(3, {"initial": {"sessions_max_extended": None}})
    assert stuck(walk, new) == ["phase_session_cap"]
    assert counters.phase_cap(new, walk.c, new.first) == 3


def test_fewer_sessions_than_a_phase_behind_the_course_needs_hold_it():
    assert stuck(reach("in_middle", sessions=1), version(3, {"initial": {"sessions_min": 2}})) == ["phase_sessions_met"]


def test_a_sick_role_that_is_demanded_now_holds_a_course_that_went_on_without():
    walk = Walk(OPTIONAL)
    walk.in_middle(without=("assign_sick_role",))
    assert stuck(walk, version(3)) == ["sick_role_resolved"]
    declined = Walk(OPTIONAL)
    declined.ready_for_middle(without=("assign_sick_role",)).fire("assign_sick_role", response="declines")
    declined.fire("begin_middle")
    plan = planned(declined, version(3))
    assert plan.kind == "new_gaps"
    assert ("sick_role_resolved", "soft") in [(gap.name, gap.severity) for gap in plan.gaps]


def test_a_requirement_that_nothing_can_meet_any_more_holds_the_course():
    """The first phase alone can assign it, and leaving a later phase requires it."""
    walk = Walk(OPTIONAL)
    walk.in_middle(without=("assign_sick_role",))
    later = {"middle": {"requires": ("ending_announced", "sick_role")}, "initial": {"requires": OPTIONAL.first.requires}}
    new = version(3, later, sick_role=SickRoleSpec(mode="optional"))
    assert stuck(walk, new) == ["sick_role_resolved"]
    assert "Nothing can meet it any more" in planned(walk, new).explanation
    assert planned(reach("in_initial"), new).kind == "carries_over"


def test_a_contract_that_no_agreement_in_the_range_can_make_fit_holds_the_course():
    short = version(3, {"final": {"sessions_min": 4, "sessions_max": 4}}, contract=contract(sessions=(8, 12)))
    assert stuck(reach("in_final"), short) == ["contract_fits_phases"]
    assert stuck(reach("ready_for_final"), short) == ["contract_fits_phases"]
    assert planned(reach("in_middle"), short).kind == "carries_over"


def test_a_contract_with_more_sessions_than_the_phases_may_have_is_to_be_shortened():
    phases = {"initial": {"sessions_max_extended": None}, "middle": {"sessions_max": 9}}
    walk = reach("in_middle", sessions=1)
    walk.fire("amend_contract", sessions=16)
    plan = planned(walk, version(3, phases))
    assert names(plan.gaps) == ["contract_fits_phases"]
    assert stuck(walk, version(3, phases, contract=contract(sessions=(14, 16)))) == ["contract_fits_phases"]
    assert planned(reach("in_middle", sessions=1), version(3, phases)).kind == "carries_over"


def test_a_change_to_a_protocol_whose_first_phase_has_another_name_takes_everything_along():
    walk = reach("in_initial")
    walk.session()
    walk.fire("record_measure", data={"instrument": "mspss", "not_obtained": True}, reason="The form was lost.")
    walk.measure()
    walk.fire("extend_phase", S)
    other = of_phases(replaced(INITIAL, id="opening"), MIDDLE, FINAL, id="ipt-other")
    plan = moved(walk, other, "change_protocol")
    assert plan.phases == {"initial": "opening"}
    assert (walk.state, walk.c.phase, walk.c.extended) == ("opening", "opening", ("opening",))
    assert walk.counted.attended["opening"] == 1
    assert {phase for track in walk.c.measures.values() for phase in (*track.phases, *track.not_obtained)} == {"opening"}
    assert walk.fire("record_history").state == "opening"


def test_counters_of_an_adopted_course_go_along():
    walk = Walk()
    walk.fire("adopt", S, data={"source": "Elsewhere", "phase": "initial", "attended": {"initial": 2}})
    moved(walk, of_phases(replaced(INITIAL, id="opening"), MIDDLE, FINAL, id="ipt-other"), "change_protocol")
    assert walk.counted.attended["opening"] == 2


def test_a_change_of_protocol_says_what_carries_over_before_and_after():
    walk = reach("ready_for_middle")
    walk.target = variant(
        "ipt-other", focus=FocusSpec(areas=("role_dispute",), max=1), contract=contract(sessions=(8, 8), weeks=(8, 8))
    )
    option = walk.options(S)["change_protocol"]
    assert option.allowed
    assert names(option.move.invalid) == ["focus", "contract"]
    assert {"focus_selected", "contract_agreed"} <= set(names(option.move.gaps))
    assert {"evaluation", "history", "inventory", "sick_role", "sessions"} <= set(option.move.carried)
    assert moved(walk, walk.target, "change_protocol") == option.move
    assert {"focus_selected", "contract_agreed"} <= set(walk.refused("begin_middle"))


def test_a_change_of_protocol_that_is_refused_says_what_would_carry_over_all_the_same():
    walk = reach("ready_for_middle")
    walk.target = variant("ipt-other", focus=FocusSpec(areas=("role_dispute",), max=1))
    option = walk.options(T)["change_protocol"]
    assert (option.allowed, [each.rule for each in option.refusals]) == (False, ["supervisor_agrees"])
    assert names(option.move.invalid) == ["focus"]


def test_sessions_beyond_the_cap_of_the_new_first_phase_are_named():
    walk = reach("ready_for_middle", sessions=3)
    plan = moved(walk, variant("ipt-b", phases=(replaced(INITIAL, sessions_max=2), MIDDLE, FINAL)), "change_protocol")
    assert names(plan.invalid) == ["sessions"]
    assert "phase_session_cap" in walk.refused("record_session")
    assert walk.fire("begin_middle").state == "middle"


def test_options_say_of_other_triggers_and_of_no_other_protocol_nothing():
    walk = reach("in_initial")
    assert {name for name, option in walk.options(S).items() if option.move} == set()
    walk.target = version(3)
    assert {name for name, option in walk.options(S).items() if option.move} == {"change_protocol", "migrate_protocol"}


def test_an_option_to_migrate_says_why_a_course_would_be_stuck():
    walk = reach("in_middle", sessions=3)
    walk.target = version(3, {"initial": {"sessions_max": 2}})
    option = walk.options(S)["migrate_protocol"]
    assert (option.allowed, option.move.kind) == (False, "stuck")


def test_what_is_recorded_late_is_judged_by_the_version_of_its_time():
    walk = reach("in_middle", sessions=3)
    held = max(session.at for session in walk.c.sessions)
    moved(walk, version(3, {"initial": {"sessions_max": 5, "sessions_max_extended": None}}))
    assert "phase_session_cap" in walk.refused("record_session", at=held + MINUTE / 2), "the cap was 3 then"
    walk.fire("record_session", at=held + MINUTE / 2, kind="additional", reason="It was held.", override=ANOTHER_VISIT)
    late = walk.history[-1]
    assert (late.protocol_digest, walk.c.session(late.seq).phase) == (ipt().digest, "initial")
    assert fold(walk.history) == walk.c


def test_a_late_session_before_the_move_counts_under_the_new_version():
    walk = reach("in_middle", sessions=1)
    held = walk.c.sessions[-1].at
    walk.now += DAY
    moved(walk, version(3))
    walk.session()
    walk.fire("record_session", at=held + MINUTE / 2, override=ANOTHER_VISIT)
    assert walk.counted.attended == {"initial": 2, "middle": 1, "final": 0}
    assert walk.history[-1].protocol_digest == ipt().digest


def test_entries_before_the_move_are_not_held_against_by_rules_that_came_with_it():
    """The version that the course had then judges each later entry."""
    walk = reach("in_middle", sessions=2)
    narrow = version(
        2, {"middle": {"requires": ("ending_announced",)}, "initial": {"requires": (*INITIAL.requires, "parent_contact")}}
    )
    moved(walk, narrow)
    walk.fire("note", at=walk.c.sessions[0].at + MINUTE)
    assert (
        walk.refused(
            "amend",
            S,
            data={"supersedes": walk.seq("record_evaluation"), "occurred_at": (walk.c.sessions[0].at + MINUTE).isoformat()},
            reason="It was then.",
        )
        == {}
    )


def test_an_entry_whose_trigger_the_new_protocol_does_not_have_can_be_amended():
    walk = Walk(version(2, rhythm=RhythmSpec(instrument="srm5", weeks=1)))
    walk.in_initial().fire("record_rhythm")
    seq = walk.last
    week = walk.given[seq]
    moved(walk, version(3))
    walk.fire("amend", T, data={"supersedes": seq, "data": {"days": week["days"][:6]}}, reason="One day was wrong.")
    assert walk.c.rhythm.count == 1
    assert walk.history[-1].trigger == "amend"


def test_what_only_the_new_version_knows_cannot_have_happened_before_the_move():
    walk = reach("in_middle")
    before = walk.now
    walk.now += DAY
    moved(walk, version(3, rhythm=RhythmSpec(instrument="srm5", weeks=1)))
    with pytest.raises(CommandInvalid, match="is not a trigger of ipt@2"):
        walk.refused("record_rhythm", at=before)
    assert walk.refused("record_rhythm") == {}


def test_what_only_the_old_version_knows_can_be_recorded_for_the_time_before_the_move():
    walk = Walk(version(2, rhythm=RhythmSpec(instrument="srm5", weeks=1)))
    walk.in_middle()
    body = walk.example("record_rhythm")
    at = walk.now
    walk.now += DAY
    moved(walk, version(3))
    with pytest.raises(CommandInvalid, match="is not a trigger of ipt@3"):
        walk.preview(body)
    walk.together({**body, "occurred_at": at.isoformat()})
    assert walk.c.rhythm.count == 1


def test_a_move_that_is_recorded_late_is_placed_where_it_happened():
    walk = reach("in_middle")
    at = walk.now + MINUTE
    walk.now += DAY
    walk.session()
    walk.target = version(3)
    walk.protocols = {each.digest: each for each in (ipt(), walk.target)}
    walk.fire("migrate_protocol", S, at=at)
    assert walk.c.protocol_version == 3
    assert walk.c.sessions[-1].at > at


def test_a_move_that_is_recorded_late_is_refused_where_later_entries_would_not_hold():
    walk = reach("in_initial")
    at = walk.now + MINUTE
    walk.now += DAY
    for _ in range(3):
        walk.session()
    walk.target = version(3, {"initial": {"sessions_max": 2, "sessions_max_extended": None}})
    walk.protocols = {each.digest: each for each in (ipt(), walk.target)}
    assert {"carries_over", "later_entries_hold"} & set(walk.refused("migrate_protocol", S, at=at))


def test_a_move_is_put_right_by_another_move_only():
    walk = reach("in_middle")
    moved(walk, version(3))
    assert list(walk.refused("amend", S, data={"supersedes": walk.last, "void": True}, reason="No.")) == ["entry_amendable"]


def test_a_move_that_an_early_ending_contradicts_has_not_happened():
    walk = reach("in_initial")
    at = walk.now + MINUTE
    walk.now += DAY
    moved(walk, of_phases(replaced(INITIAL, id="opening"), MIDDLE, FINAL, id="ipt-other"), "change_protocol")
    seq = walk.last
    walk.fire("end_early", at=at)
    assert (walk.state, walk.c.phase, walk.c.protocol) == ("ended_early", "initial", "ipt")
    assert walk.c.contradicted == (seq,)


def test_after_a_move_that_has_not_happened_there_is_nothing_that_only_its_protocol_knows():
    walk = reach("in_initial")
    first, at = walk.protocol, walk.now + MINUTE
    walk.now += DAY
    moved(walk, version(3, rhythm=RhythmSpec(instrument="srm5", weeks=1)))
    walk.now += MINUTE
    body = {**walk.example("record_rhythm"), "occurred_at": walk.now.isoformat()}
    walk.now += DAY
    walk.session()
    walk.fire("end_early", at=at)
    walk.protocol = first
    answer = walk.preview(body)
    assert [(each.rule, each.message) for each in answer.refusals] == [
        ("state_allows", "Interpersonal Psychotherapy has no trigger `record_rhythm`. Choose another trigger.")
    ]


def test_entries_without_what_carries_over_fold_as_they_did():
    """Entries were written so before they had this data."""
    walk = reach("ready_for_middle")
    moved(walk, variant("ipt-short"), "change_protocol")
    lean = {name: walk.history[-1].data[name] for name in ("protocol", "protocol_version", "protocol_digest", "acute", "phase")}
    folded = fold((*walk.history[:-1], msgspec.structs.replace(walk.history[-1], data=lean)))
    assert folded == walk.c
    assert carry_over.move(lean).to == "ipt-short@2"

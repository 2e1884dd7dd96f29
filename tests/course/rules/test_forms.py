"""What further forms of IPT ask for, rule by rule and from both sides: by variants of the default protocol that have one thing more."""

import datetime as dt

import msgspec
import pytest
from support.course_walk import DAY, S, Walk, covers, ipt, reach, refused_by, replaced, variant

from ipt_workflow.course.triggers import names
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.protocols.definition import (
    Bounds,
    ConsentSpec,
    MediumSpec,
    ParticipantsSpec,
    ReviewSpec,
    RhythmSpec,
    SickRoleSpec,
    SupervisionSpec,
)

OF_EVERY_DAY = {"out_of_bed": "07:00", "to_bed": "23:00"}


def asking(phase: str, artefact: str, **tables) -> Walk:
    """A walk under a protocol of which one phase requires one thing more."""
    phases = tuple(replaced(spec, requires=(*spec.requires, artefact)) if spec.id == phase else spec for spec in ipt().phases)
    return Walk(variant(f"asks-{artefact}", phases=phases, **tables))


def week(first: str, *, days: int = 7, times=None) -> dict:
    begins = dt.date.fromisoformat(first)
    return {
        "instrument": "srm5",
        "week_of": first,
        "days": [{"on": (begins + dt.timedelta(days=day)).isoformat(), "times": times or OF_EVERY_DAY} for day in range(days)],
    }


# Suitability


@covers("age_fits")
def test_an_age_band_with_none_of_the_protocols_ages_takes_a_reason():
    walk = Walk().referred(age_band="13-17").do("record_consent")
    refused_by(walk, "age_fits", "start", severity="soft", current="13-17", required="18 to 120 years")
    assert walk.fire("start", override=("age_fits",)).state == "initial"


@pytest.mark.parametrize(
    ("band", "fits"), (("18-25", True), ("17-18", True), ("65+", True), ("12", False), ("3-17", False), ("adult", True))
)
def test_an_age_band_fits_where_one_of_its_ages_is_the_protocols(band, fits):
    walk = Walk().referred(age_band=band).do("record_consent")
    assert ("age_fits" in walk.refused("start")) != fits


@covers("format_fits")
def test_another_format_than_the_protocols_takes_a_reason():
    walk = reach("referred").do("record_consent")
    refused_by(walk, "format_fits", "start", severity="soft", format="telephone", current="telephone", required="individual")
    assert walk.refused("start", format="individual") == {}


@covers("provider_fits")
def test_another_provider_than_the_protocols_takes_a_reason():
    walk = reach("referred").do("record_consent")
    refused_by(walk, "provider_fits", "start", severity="soft", provider="non_specialist", current="non_specialist")
    assert walk.refused("start", provider="mental_health_clinician") == {}


def test_a_clinician_may_give_what_is_made_for_others():
    walk = Walk(variant("for-others", provider="non_specialist", supervision=SupervisionSpec(required=True))).referred()
    assert "provider_fits" not in walk.do("record_consent").refused("start", provider="mental_health_clinician")


@covers("supervisor_named")
def test_who_is_no_specialist_starts_with_a_supervisor_who_is_somebody_else():
    walk = Walk(variant("supervised", supervision=SupervisionSpec(required=True))).referred().do("record_consent")
    refused_by(walk, "supervisor_named", "start", data={}, current=None)
    refused_by(walk, "supervisor_named", "start", supervisor="therapist-1", current="the therapist")
    walk.fire("start", supervisor="supervisor-1")
    assert walk.c.supervisor == "supervisor-1"


@covers("consent_given")
def test_each_of_those_whose_consent_is_asked_for_gives_it():
    walk = Walk(variant("of-both", consent=ConsentSpec(by=("client", "guardian")))).referred()
    walk.fire("record_consent", scope="treatment", who="client")
    refused_by(walk, "consent_given", "start", current=["treatment:client"], remedies=("record_consent",))
    walk.do("record_consent")  # the example knows who is lacking
    assert walk.c.consenting == ("treatment:client", "treatment:guardian")
    assert walk.fire("start").state == "initial"


def test_a_consent_that_one_of_them_withdraws_is_asked_for_again():
    walk = Walk(variant("of-both", consent=ConsentSpec(by=("client", "guardian")))).referred()
    walk.do("record_consent", "record_consent").fire("withdraw_consent", scope="treatment", who="guardian")
    assert "consent_given" in walk.refused("start")


@covers("consent_not_withdrawn")
@pytest.mark.parametrize(
    ("stage", "trigger"),
    (("ready_for_middle", "begin_middle"), ("ready_for_final", "begin_final"), ("ready_to_complete", "complete")),
)
def test_while_consent_is_withdrawn_no_phase_begins_and_the_course_is_not_completed(stage, trigger):
    walk = reach(stage)
    walk.fire("withdraw_consent", scope="sharing")
    assert walk.refused(trigger) == {}
    walk.fire("withdraw_consent", scope="treatment")
    refused_by(
        walk, "consent_not_withdrawn", trigger, current=["withdrawn by the client"], remedies=("record_consent", "end_early")
    )
    walk.session("3")
    walk.do("record_contact", "record_measure", "raise_risk", "review_risk", "note")
    assert walk.copy().fire("end_early").state == "ended_early"
    walk.fire("record_consent", scope="treatment")
    assert "consent_not_withdrawn" not in walk.refused(trigger)


def test_a_consent_is_given_again_by_the_person_who_withdrew_it():
    walk = reach("in_middle")
    walk.fire("withdraw_consent", scope="treatment", who="guardian")
    walk.fire("record_consent", scope="treatment", who="client")
    assert (walk.c.consents, walk.c.withdrawn, walk.c.withdrawing) == ((), ("treatment",), ("treatment:guardian",))
    assert "consent_not_withdrawn" in walk.refused("begin_final")
    walk.fire("record_consent", scope="treatment", who="guardian")
    assert (walk.c.consents, walk.c.withdrawn, walk.c.withdrawing) == (("treatment",), (), ())


# The setting


@covers("participants_present")
def test_a_session_without_one_of_those_who_belong_to_it_takes_a_reason():
    walk = Walk(variant("couple", participants=ParticipantsSpec(required=("client", "partner")))).in_initial()
    refused_by(walk, "participants_present", "record_session", severity="soft", participants=["client"], current=["client"])
    assert walk.refused("record_session", participants=["partner", "client"]) == {}
    assert walk.refused("record_session", attendance="3", participants=["client"]) == {}
    walk.fire("record_session", participants=["client"], override=("participants_present",))
    assert walk.c.sessions[-1].counts


@covers("medium_allowed")
def test_a_session_by_another_medium_takes_a_reason():
    walk = Walk(variant("by-telephone", medium=MediumSpec(allowed=("telephone",)))).in_initial()
    refused_by(walk, "medium_allowed", "record_session", severity="soft", medium="face_to_face", current="face_to_face")
    refused_by(walk, "medium_allowed", "record_session", severity="soft", data={"attendance": "5"}, current="face_to_face")
    assert walk.refused("record_session", medium="telephone") == {}
    assert walk.refused("record_session", attendance="3", medium="face_to_face") == {}


@covers("parent_involved")
@pytest.mark.parametrize(
    ("trigger", "data"),
    (
        ("record_contact", {"kind": "collateral", "participants": ["parent"]}),
        ("record_session", {"participants": ["client", "guardian"]}),
    ),
)
def test_a_parent_is_met_in_a_contact_or_a_session(trigger, data):
    walk = asking("initial", "parent_contact").ready_for_middle()
    refused_by(walk, "parent_involved", "begin_middle", current=[], remedies=("record_contact",))
    walk.fire("record_contact", kind="attempt", participants=["parent"])
    assert "parent_involved" in walk.refused("begin_middle"), "who could not be reached was not met"
    walk.now += 7 * DAY
    walk.fire(trigger, **data)
    assert "parent_involved" not in walk.refused("begin_middle")


@covers("engagement_met")
def test_an_engagement_session_is_a_contact_and_never_counts():
    walk = asking("initial", "engagement").ready_for_middle()
    refused_by(walk, "engagement_met", "begin_middle", current=0, remedies=("record_contact",))
    walk.fire("record_contact", S, kind="engagement")
    assert walk.refused("begin_middle") == {}
    assert walk.counted.attended["initial"] == 1


@covers("step_up_referred")
def test_who_is_still_unwell_at_the_end_is_referred_on():
    walk = asking("final", "step_up").ready_to_complete()
    walk.measure({"instrument": "phq9", "total": 9})
    assert walk.refused("complete") == {}
    walk.measure({"instrument": "phq9", "total": 10})
    refused_by(walk, "step_up_referred", "complete", remedies=("refer_on", "decide_continuation"))
    assert walk.do("refer_on").refused("complete") == {}


# Sick role and problem area


@covers("sick_role_mode_fits")
def test_a_full_sick_role_takes_a_reason_where_a_limited_one_is_given():
    walk = Walk(variant("limited", sick_role=SickRoleSpec(mode="limited"))).in_initial().do("record_evaluation")
    refused_by(walk, "sick_role_mode_fits", "assign_sick_role", severity="soft", mode="full", current="full", required="limited")
    walk.fire("assign_sick_role", mode="limited")
    assert walk.c.sick_role.status == "assigned_limited"
    assert "sick_role_mode_fits" not in reach("in_initial").do("record_evaluation").refused("assign_sick_role", mode="limited")


@covers("focus_encouraged")
def test_an_area_that_the_protocol_advises_against_takes_a_reason():
    protocol = variant("no-deficits", focus=replaced(ipt().focus, discouraged=("interpersonal_deficits",)))
    walk = Walk(protocol).in_initial().do("record_inventory")
    deficits = {"primary": "interpersonal_deficits", "others_do_not_fit": True}
    refused_by(walk, "focus_encouraged", "select_focus", severity="soft", data=deficits, current=["interpersonal_deficits"])
    assert walk.refused("select_focus") == {}
    walk.fire("select_focus", data=deficits, override=("focus_encouraged",))
    assert walk.c.focus.primary == "interpersonal_deficits"


def test_further_areas_are_named_where_the_protocol_allows_more_than_two():
    both = {"primary": "role_transition", "old_role": "a", "new_role": "b", "secondary": "role_dispute", "stage": "impasse"}
    every = {**both, "further": ["grief"], "people": ["p1", "p2"]}
    walk = Walk(variant("all-areas", focus=replaced(ipt().focus, max=4))).in_initial().do("record_inventory")
    walk.fire("select_focus", data=every)
    assert walk.c.focus.areas == ("role_transition", "role_dispute", "grief")
    assert "focus_count" in reach("in_initial").do("record_inventory").refused("select_focus", data=every)


# Rhythm


def rhythmic(artefact: str = "rhythm", phase: str = "initial", weeks: int = 2) -> Walk:
    return asking(phase, artefact, rhythm=RhythmSpec(instrument="srm5", weeks=weeks))


@covers("rhythm_tracked")
def test_the_rhythm_is_tracked_for_the_protocols_weeks_and_each_week_counts_once():
    walk = rhythmic().ready_for_middle()
    refused_by(walk, "rhythm_tracked", "begin_middle", current=0, remedies=("record_rhythm",))
    walk.fire("record_rhythm", data=week("2025-12-22"))
    walk.fire("record_rhythm", data=week("2025-12-22"))
    refused_by(walk, "rhythm_tracked", "begin_middle", current=1)
    walk.fire("record_rhythm", data={**week("2025-12-29"), "instrument": "srm17"})
    assert walk.refused("begin_middle") == {}
    assert (walk.c.rhythm.count, [each.hits for each in walk.c.rhythm.weeks]) == (2, [14, 14])


@covers("rhythm_target_set", "rhythm_known")
def test_the_rhythm_is_regulated_by_targets_that_follow_what_is_known():
    walk = rhythmic("rhythm_target", "initial").ready_for_middle()
    refused_by(walk, "rhythm_target_set", "begin_middle", remedies=("set_rhythm_target",))
    refused_by(walk, "rhythm_known", "set_rhythm_target", remedies=("record_rhythm",))
    walk.fire("record_rhythm", data=week("2025-12-29"))
    walk.fire("set_rhythm_target", data={"targets": [{"activity": "out_of_bed", "time": "06:30", "within_minutes": 15}]})
    walk.fire("record_rhythm", data=week("2026-01-05", times={"out_of_bed": "06:40", "to_bed": "23:00"}))
    assert walk.refused("begin_middle") == {}
    assert [(each.met, each.aimed) for each in walk.c.rhythm.weeks] == [(0, 0), (7, 7)]


@pytest.mark.parametrize("stage", ("referred", "in_initial", "paused", "completed"))
def test_a_week_is_recorded_in_any_state_and_in_any_mood(stage):
    walk = Walk(variant("rhythmic", rhythm=RhythmSpec(instrument="srm5", weeks=1)))
    getattr(walk, stage)()
    moods = week("2025-12-29", days=2)
    moods["days"][0]["mood"], moods["days"][1]["mood"] = -5, 5
    walk.fire("record_rhythm", data=moods)
    assert walk.c.rhythm.weeks[0].activities == 0, "two days are too few for a score"


def test_a_fault_in_a_week_names_its_place():
    walk = Walk(variant("rhythmic", rhythm=RhythmSpec(instrument="srm5", weeks=1))).in_initial()
    bad = week("2025-12-29", days=3)
    bad["days"][1]["on"] = bad["days"][0]["on"]
    bad["days"][2] |= {"on": "2026-02-01", "times": {"lunch": "12:00"}}
    with pytest.raises(CommandInvalid) as caught:
        walk.fire("record_rhythm", data=bad)
    assert {fault.where for fault in caught.value.faults} == {"data.days[1].on", "data.days[2].on", "data.days[2].times"}
    twice = {
        "targets": [
            {"activity": "dinner", "time": "18:00"},
            {"activity": "dinner", "time": "19:00"},
            {"activity": "tea", "time": "16:00"},
        ]
    }
    with pytest.raises(CommandInvalid) as caught:
        walk.fire("set_rhythm_target", data=twice)
    assert {fault.where for fault in caught.value.faults} == {"data.targets[1].activity", "data.targets[2].activity"}


def test_the_times_of_a_week_are_sealed_and_its_regularity_is_not():
    walk = Walk(variant("rhythmic", rhythm=RhythmSpec(instrument="srm5", weeks=1))).in_initial()
    walk.fire("record_rhythm", data=week("2025-12-29"))
    entry = walk.entries()[-1]
    assert entry.written.data["hits"] == 14
    assert b"07:00" not in entry.canonical
    assert b"07:00" in entry.sealed


def test_a_protocol_without_a_rhythm_has_no_trigger_for_it():
    assert not {"record_rhythm", "set_rhythm_target", "record_review"} & set(names(ipt()))
    with pytest.raises(CommandInvalid):
        reach("in_initial").fire("record_rhythm", data=week("2025-12-29"))


@covers("prescriber_reviewed")
def test_the_prescriber_reviews_before_the_phase_is_left():
    walk = asking("initial", "prescriber_review").ready_for_middle()
    refused_by(walk, "prescriber_reviewed", "begin_middle", remedies=("record_prescriber_review",))
    assert walk.do("record_prescriber_review").refused("begin_middle") == {}


# One phase, and its reviews


def maintenance() -> Walk:
    only = msgspec.structs.replace(ipt().phases[0], id="maintenance", sessions_min=1, sessions_max=None, sessions_max_extended=None)
    only = replaced(only, requires=("contract", "review"), soft=("review",))
    return Walk(
        variant(
            "upkeep",
            acute=False,
            phases=(only,),
            review=ReviewSpec(every_days=100),
            sick_role=SickRoleSpec(mode="not_used"),
            contract=replaced(ipt().contract, sessions=Bounds(4, 30), weeks=Bounds(40, 150)),
        )
    )


def test_a_course_of_one_phase_begins_and_completes_and_has_no_trigger_between_phases():
    walk = maintenance().in_initial()
    assert walk.state == "maintenance"
    assert not {"change_focus", "relinquish_sick_role"} & set(names(walk.protocol))
    assert not [name for name in names(walk.protocol) if name.startswith("begin_")]
    walk.do("agree_contract")
    for _ in range(4):
        walk.session()
    walk.do("record_review")
    assert walk.refused("complete") == {}
    assert walk.fire("complete").state == "completed"


def test_the_contract_of_one_phase_can_be_amended_and_caps_it():
    walk = maintenance().in_initial().do("agree_contract")
    for _ in range(4):
        walk.session()
    walk.now += DAY
    assert "contract_session_cap" in walk.refused("record_session")
    walk.fire("amend_contract", sessions=6)
    assert walk.refused("record_session") == {}


@covers("review_held")
def test_a_course_is_reviewed_within_the_protocols_days():
    walk = maintenance().in_initial().do("agree_contract")
    walk.session()
    refused_by(walk, "review_held", "complete", severity="soft", current=None, remedies=("record_review",))
    walk.do("record_review")
    assert walk.refused("complete") == {}
    walk.now += 101 * DAY
    assert walk.refused("complete")["review_held"].severity == "soft"

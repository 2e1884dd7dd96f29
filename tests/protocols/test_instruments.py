"""Scoring and change, on small scales worked by hand and on the scales we ship."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.errors import Fault
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.protocols.instruments import Band, Change, Evidence, Instrument, Score

CONFIG = Path(__file__).parents[2] / "config"
SHIPPED = load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES).instruments
PHQ9, GAD7, IFR, MSPSS = (SHIPPED[key] for key in ("phq9@1", "gad7@1", "ifr@1", "mspss@1"))

TRIO = Instrument(
    id="trio",
    version=2,
    title="Three items",
    aim="symptoms",
    direction="higher_is_worse",
    items=3,
    item_min=0,
    item_max=3,
    total_min=0,
    total_max=9,
    bands=(Band("low", 0, 4), Band("high", 5, 9)),
    caseness=5,
    remission_below=2,
    reliable_change=3,
    risk_item=3,
    licence="none",
    evidence=(Evidence("items", "test", "design"),),
    digest="",
)


def replaced(**values):
    return msgspec.structs.replace(TRIO, **values)


def where(faults):
    return [fault.where for fault in faults]


# Scoring


def test_an_instrument_is_named_by_id_and_version():
    assert TRIO.key == "trio@2"


def test_answers_are_summed_and_banded():
    assert instruments.score(TRIO, [1, 3, 0]) == Score(total=4, band="low", risk=False, missing=0)


def test_the_bands_meet_where_they_say():
    assert [instruments.band(TRIO, total) for total in (0, 4, 5, 9)] == ["low", "low", "high", "high"]


def test_a_reading_with_a_missing_answer_is_kept_without_a_total():
    assert instruments.score(TRIO, [1, None, 0]) == Score(total=None, band=None, risk=False, missing=1)


def test_the_risk_item_is_read_although_other_answers_are_missing():
    assert instruments.score(TRIO, [None, None, 1]) == Score(total=None, band=None, risk=True, missing=2)


def test_a_missing_answer_to_the_risk_item_is_no_risk():
    assert not instruments.score(TRIO, [3, 3, None]).risk


def test_the_risk_item_counts_from_its_threshold_on():
    wary = replaced(risk_threshold=2)
    assert [instruments.score(wary, [0, 0, answer]).risk for answer in (0, 1, 2, 3)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_scale_without_a_risk_item_shows_no_risk():
    assert not instruments.score(replaced(risk_item=None), [3, 3, 3]).risk


def test_a_bare_total_has_a_band():
    assert instruments.band(TRIO, 9) == "high"


def test_a_scale_without_bands_bands_nothing():
    assert instruments.band(IFR, 5) is None


@given(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=9, max_size=9))
def test_every_phq9_has_a_total_exactly_when_nothing_is_missing(answers):
    assert instruments.faults_in(PHQ9, answers) == []
    score = instruments.score(PHQ9, answers)
    assert score.missing == answers.count(None)
    assert (score.total is None) == (None in answers)
    assert (score.band is None) == (None in answers)
    assert score.risk == (answers[8] in {1, 2, 3})
    if score.total is not None:
        assert instruments.faults_in(PHQ9, score.total) == []


@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_every_total_of_a_scale_with_bands_lies_in_one_of_them(key, data):
    scale = SHIPPED[key]
    total = data.draw(st.integers(scale.total_min, scale.total_max))
    assert sum(each.min <= total <= each.max for each in scale.bands) == (1 if scale.bands else 0)


# Faults of a reading


def test_answers_in_range_have_no_fault():
    assert instruments.faults_in(TRIO, [0, 3, None]) == []


def test_every_answer_out_of_range_is_named_with_the_range():
    message = "must lie from 0 to 3 for trio@2"
    assert instruments.faults_in(TRIO, [4, 3, -1]) == [
        Fault("data.items[0]", message),
        Fault("data.items[2]", message),
    ]


@pytest.mark.parametrize("answers", [[], [1, 1], [1, 1, 1, 1]])
def test_a_wrong_number_of_answers_is_a_fault_that_names_the_right_one(answers):
    (fault,) = instruments.faults_in(TRIO, answers)
    assert fault == Fault("data.items", "must have 3 answers for trio@2, with null for a missing one")


@pytest.mark.parametrize(("total", "faulty"), [(-1, True), (0, False), (9, False), (10, True)])
def test_a_total_lies_within_the_scale(total, faulty):
    expected = [Fault("data.total", "must lie from 0 to 9 for trio@2")] if faulty else []
    assert instruments.faults_in(TRIO, total) == expected


def test_no_reading_has_no_fault():
    assert instruments.faults_in(TRIO, None) == []


@pytest.mark.parametrize("reading", [[77, 1, 1], 77])
def test_a_fault_never_repeats_a_value_about_a_client(reading):
    assert "77" not in str(instruments.faults_in(TRIO, reading))


def test_a_scale_that_is_no_plain_sum_takes_totals_only():
    domains = replaced(total_max=6, risk_item=None)
    assert where(instruments.faults_in(domains, [0, 0, 0])) == ["data.items"]
    assert instruments.faults_in(domains, 6) == []


# Change, worked by hand


def test_a_phq9_from_16_to_4_is_everything_one_hopes_for():
    assert instruments.change(PHQ9, 16, 4) == Change(
        improvement=12,
        reliable_improvement=True,
        reliable_deterioration=False,
        response=True,
        remission=True,
        recovery=True,
    )


@pytest.mark.parametrize(
    ("baseline", "last", "improved", "deteriorated"),
    [
        (15, 9, True, False),
        (15, 10, False, False),
        (10, 15, False, False),
        (10, 16, False, True),
        (10, 10, False, False),
    ],
)
def test_reliable_change_of_a_phq9_takes_six_points_either_way(baseline, last, improved, deteriorated):
    change = instruments.change(PHQ9, baseline, last)
    assert (change.reliable_improvement, change.reliable_deterioration) == (improved, deteriorated)


@pytest.mark.parametrize(
    ("baseline", "last", "response"),
    [(20, 10, True), (20, 11, False), (15, 7, True), (15, 8, False)],
)
def test_response_is_a_drop_by_half_of_the_baseline(baseline, last, response):
    assert instruments.change(PHQ9, baseline, last).response is response


def test_from_nothing_nothing_can_respond():
    assert instruments.change(PHQ9, 0, 0).response is None


def test_response_is_measured_from_the_floor_of_the_scale():
    from_one = replaced(item_min=1, total_min=3)
    assert instruments.change(from_one, 9, 6).response is True
    assert instruments.change(from_one, 9, 7).response is False
    assert instruments.change(from_one, 3, 3).response is None


@pytest.mark.parametrize(("last", "remission"), [(4, True), (5, False)])
def test_remission_of_a_phq9_is_below_five(last, remission):
    assert instruments.change(PHQ9, 12, last).remission is remission


@pytest.mark.parametrize(
    ("baseline", "last", "recovery"),
    [(10, 9, True), (10, 10, False), (9, 3, None), (9, 12, None), (27, 26, False)],
)
def test_recovery_goes_from_a_case_to_none_and_a_client_who_was_no_case_cannot_recover(baseline, last, recovery):
    assert instruments.change(PHQ9, baseline, last).recovery is recovery


def test_a_gad7_is_a_case_from_eight_and_changes_reliably_by_four():
    assert instruments.change(GAD7, 8, 4) == Change(
        improvement=4,
        reliable_improvement=True,
        reliable_deterioration=False,
        response=True,
        remission=None,
        recovery=True,
    )
    assert instruments.change(GAD7, 7, 4).recovery is None


def test_where_higher_is_better_a_rise_is_an_improvement_and_nothing_else_is_defined():
    assert instruments.change(MSPSS, 40, 60) == Change(
        improvement=20,
        reliable_improvement=None,
        reliable_deterioration=None,
        response=None,
        remission=None,
        recovery=None,
    )


def test_reliable_change_follows_the_direction_of_the_scale():
    support = replaced(direction="higher_is_better", caseness=None, remission_below=None)
    assert instruments.change(support, 2, 5).reliable_improvement
    assert instruments.change(support, 5, 2).reliable_deterioration


@given(st.integers(0, 27), st.integers(0, 27))
def test_there_and_back_again_is_the_opposite_change(baseline, last):
    there, back = instruments.change(PHQ9, baseline, last), instruments.change(PHQ9, last, baseline)
    assert there.improvement == -back.improvement
    assert there.reliable_improvement == back.reliable_deterioration
    assert not (there.reliable_improvement and there.reliable_deterioration)


# What a file may say


def test_the_scale_of_these_tests_has_no_fault():
    assert instruments.faults_of(TRIO) == []


@pytest.mark.parametrize(
    ("values", "faulty"),
    [
        ({"item_max": 0}, ["item_max"]),
        ({"total_max": 10}, ["total_max"]),
        ({"total_min": -1}, ["total_max"]),
        ({"total_max": 10, "item_texts": ("one",)}, ["total_max", "item_texts"]),
        ({"total_min": 9}, ["total_max"]),
        ({"caseness": 0}, ["caseness"]),
        ({"caseness": 10}, ["caseness"]),
        ({"remission_below": 0}, ["remission_below"]),
        ({"remission_below": 10}, ["remission_below"]),
        ({"direction": "higher_is_better"}, ["caseness", "remission_below"]),
        ({"reliable_change": 10}, ["reliable_change"]),
        ({"risk_item": 4}, ["risk_item"]),
        ({"risk_threshold": 0}, ["risk_threshold"]),
        ({"risk_threshold": 4}, ["risk_threshold"]),
        ({"total_max": 6, "bands": ()}, ["risk_item"]),
        ({"item_texts": ("one", "two")}, ["item_texts"]),
        ({"bands": (Band("low", 1, 9),)}, ["bands[0].min"]),
        ({"bands": (Band("low", 0, 4), Band("high", 6, 9))}, ["bands[1].min"]),
        ({"bands": (Band("low", 0, 4), Band("high", 4, 9))}, ["bands[1].min"]),
        ({"bands": (Band("low", 0, 4), Band("high", 5, 8))}, ["bands[1].max"]),
    ],
)
def test_an_impossible_value_of_a_scale_is_a_fault(values, faulty):
    assert where(instruments.faults_of(replaced(**values))) == faulty


@pytest.mark.parametrize(
    "values",
    [
        {"caseness": 1},
        {"caseness": 9},
        {"remission_below": 9},
        {"reliable_change": 9},
        {"risk_item": 1},
        {"risk_threshold": 3},
        {"item_texts": ("one", "two", "three")},
        {"bands": ()},
        {"bands": (Band("all", 0, 9),)},
        {"total_max": 6, "bands": (), "risk_item": None},
    ],
)
def test_a_value_at_the_edge_of_a_scale_is_no_fault(values):
    assert instruments.faults_of(replaced(**values)) == []


# The scales we ship


@pytest.mark.parametrize(
    ("scale", "aim", "low", "high"),
    [
        (PHQ9, "symptoms", 0, 27),
        (GAD7, "symptoms", 0, 21),
        (IFR, "interpersonal_functioning", 0, 10),
        (MSPSS, "social_support", 12, 84),
    ],
)
def test_a_shipped_scale_has_its_published_range(scale, aim, low, high):
    assert (scale.aim, scale.total_min, scale.total_max) == (aim, low, high)
    assert scale.summed


def test_the_bands_of_a_phq9_are_the_published_ones():
    bands = [instruments.band(PHQ9, total) for total in (4, 5, 9, 10, 14, 15, 19, 20, 27)]
    severity = ["minimal", "mild", "mild", "moderate", "moderate"]
    assert bands == [*severity, "moderately severe", "moderately severe", "severe", "severe"]


def test_the_items_about_suicide_and_self_harm_are_known_wherever_answers_are_taken():
    known = {key: scale.risk_item for key, scale in SHIPPED.items() if scale.risk_item}
    assert known == {"phq9@1": 9, "bdi2@1": 9, "epds@1": 10}
    assert instruments.score(PHQ9, [0] * 8 + [1]).risk


def test_texts_are_shipped_only_where_the_licence_lets_them():
    assert {key for key, scale in SHIPPED.items() if scale.item_texts} == {"phq9@1", "gad7@1", "ifr@1"}


def test_every_shipped_scale_names_its_licence_and_its_sources():
    for scale in SHIPPED.values():
        assert scale.licence
        assert {"items", "total_max"} <= {row.key for row in scale.evidence}


# Several scales together, on numbers worked by hand (F46: caseness PHQ-9 10 and GAD-7 8, reliable change 6 and 4)


@pytest.mark.parametrize(
    ("phq9", "gad7", "recovery", "improved", "deteriorated"),
    (
        ((18, 9), (14, 7), True, True, False),  # a case on both, then on neither; 9 and 7 points better
        ((18, 9), (14, 8), False, True, False),  # still a case of anxiety
        ((18, 10), (6, 3), False, True, False),  # still a case of depression, by one point
        ((9, 3), (7, 3), None, True, False),  # no case at first: nothing to recover from, and better all the same
        ((11, 9), (6, 5), True, False, False),  # no case any more, and not one point more than the scales' own error
        ((9, 15), (8, 7), False, False, True),  # six points worse on one, one point better on the other
        ((18, 12), (5, 9), False, False, False),  # reliably better on one and reliably worse on the other: neither
        ((10, 16), (8, 4), False, False, False),  # the same the other way round
    ),
)
def test_the_outcome_by_both_scales_is_as_the_nhs_counts_it(phq9, gad7, recovery, improved, deteriorated):
    found = instruments.outcome([(PHQ9, *phq9), (SHIPPED["gad7@1"], *gad7)])
    assert (found.recovery, found.reliable_improvement, found.reliable_deterioration) == (recovery, improved, deteriorated)
    assert found.reliable_recovery == (None if recovery is None else recovery and improved)


def test_one_scale_alone_has_an_outcome_and_a_scale_without_cuts_has_none():
    assert instruments.outcome([(PHQ9, 15, 4)]) == instruments.Outcome(True, True, False, True)
    assert instruments.outcome([(SHIPPED["lsas@1"], 90, 30)]) is None
    assert instruments.outcome([]) is None


# Decimals


EDEQ = SHIPPED["edeq@2"]
HUNDREDTHS = [hundredths / 100 for hundredths in range(601)]


@pytest.mark.parametrize("total", (0, 4, 4.2, 2.75, 6))
def test_a_total_may_have_the_decimals_of_its_scale(total):
    assert instruments.faults_in(EDEQ, total) == []


@pytest.mark.parametrize(
    ("scale", "total", "says"),
    (
        (EDEQ, 4.205, "must be a multiple of 0.01 for edeq@2"),
        (EDEQ, 420, "must lie from 0 to 6 for edeq@2"),
        (PHQ9, 12.5, "must be a whole number for phq9@1"),
        (SHIPPED["sas-sr@2"], 0.99, "must lie from 1 to 5 for sas-sr@2"),
    ),
)
def test_a_total_between_two_steps_or_out_of_range_is_a_fault(scale, total, says):
    assert instruments.faults_in(scale, total) == [Fault("data.total", says)]


def test_every_hundredth_is_a_total_of_a_scale_with_two_decimals():
    assert [total for total in HUNDREDTHS if instruments.faults_in(EDEQ, total)] == []


@given(st.integers(0, 600), st.integers(0, 600))
def test_change_in_decimals_is_exact(first, last):
    found = instruments.change(EDEQ, first / 100, last / 100)
    assert found.improvement == (first - last) / 100
    assert found.response is (None if first == 0 else 2 * last <= first)


def test_whole_numbers_stay_whole():
    improvement = instruments.change(EDEQ, 4.2, 1.2).improvement
    assert (improvement, type(improvement)) == (3, int)
    assert type(instruments.change(PHQ9, 18, 9).improvement) is int


def test_a_total_between_two_whole_ones_is_in_the_band_below():
    mean = replaced(step="0.1")
    assert [instruments.band(mean, total) for total in (4, 4.9, 5)] == ["low", "low", "high"]


def test_the_scales_of_the_nhs_pairs_have_their_cuts_and_take_one_number():
    for key, total, caseness, reliable in (("iesr@1", 88, 33, 9), ("spin@1", 68, 19, 10)):
        scale = SHIPPED[key]
        assert (scale.total_max, scale.caseness, scale.reliable_change, scale.items) == (total, caseness, reliable, 1)
        assert scale.item_texts == ()

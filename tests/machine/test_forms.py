"""Every form of IPT that ships: a whole course of each, its differences from both sides, and the seed's two lists row by row."""

import re
import tomllib
from functools import cache

import pytest
from support.course_walk import ROOT, WEEK, S, Walk, ipt
from support.follow_up import opened_after
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.course.triggers import BEGIN_PREFIX, find
from ipt_workflow.errors import CommandInvalid, TransitionRefused
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.files import Catalogue, load_catalogue, read_definition

FORMS = sorted(path.stem for path in (ROOT / "config" / "protocols").glob("*.toml"))
NO_PAPER = {"record_session", "sign_session", "amend_contract", "extend_phase"}


@cache
def catalogue() -> Catalogue:
    return load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES)


def form(name: str) -> Protocol:
    """The protocol of a file: its latest version, or the version in the file's name."""
    form_id, _, version = name.partition("@")
    return catalogue().get(form_id, int(version) if version else None)


class Course(Walk):
    """A course of any protocol, walked by the remedies that its refusals name."""

    def __init__(self, name: str, **referral) -> None:
        super().__init__(form(name))
        self.referred(**referral)

    @property
    def onward(self) -> str:
        """The next trigger: start, the next phase, or complete."""
        if self.c.phase is None:
            return "start"
        after = self.protocol.next_phase(self.c.phase)
        return BEGIN_PREFIX + after.id if after else "complete"

    def papers(self, *, without: str = "", override: tuple[str, ...] = ()) -> "Course":
        """All paperwork that the next trigger requires, except for one rule."""
        stood = None
        while (refusals := self.refused(self.onward, override=override)) and refusals != stood:
            stood = refusals
            named = [remedy.trigger for rule, refusal in refusals.items() if rule != without for remedy in refusal.remedies]
            for trigger in dict.fromkeys(named):
                row = find(trigger, self.protocol)
                if row is not None and row.to is None and trigger not in NO_PAPER:
                    try:
                        self.fire(trigger)
                    except TransitionRefused:
                        continue  # it has a remedy of its own, which the next round finds
        return self

    def on(self) -> "Course":
        """Into the next phase, or to the end: with as few sessions as that takes."""
        for _ in range(60):
            if not self.papers().refused(self.onward):
                self.fire(self.onward)
                return self
            self.held()
        raise AssertionError(f"{self.onward} is still refused: {sorted(self.refused(self.onward))}")

    def held(self, **data) -> "Course":
        cadence = self.protocol.contract.cadence_days
        if self.c.sessions:
            self.now += cadence * WEEK / 7
        self.fire("record_session", **data)
        self.fire("sign_session", session=self.last)
        return self

    def whole(self) -> "Course":
        while self.c.open:
            self.on()
        return self

    def in_first(self) -> "Course":
        return self.on()


@pytest.mark.parametrize("name", FORMS)
def test_a_whole_course_is_walked_to_its_end(name):
    course = Course(name).whole()
    assert course.state == "completed"
    phases = [spec.id for spec in course.protocol.phases]
    assert list(dict.fromkeys(draft.to for draft in course.drafts)) == ["referred", *phases, "completed"]
    counted = course.counted
    assert counted.contracted in course.protocol.contract.sessions
    for spec in course.protocol.phases:
        assert counted.attended[spec.id] >= spec.sessions_min
        assert spec.sessions_max is None or counted.attended[spec.id] <= spec.sessions_max
    assert course.replay() == course.c


@pytest.mark.parametrize("name", FORMS)
def test_a_week_off_needs_neither_a_new_contract_nor_a_reason(name):
    course = Course(name).on().held()
    course.now += WEEK
    assert course.whole().state == "completed"
    assert {fact.trigger for fact in course.history}.isdisjoint({"amend_contract", "pause"})
    assert not any(fact.overridden for fact in course.history)


@pytest.mark.parametrize("name", ["ipt-hiv", "ipt-ptsd", "ipt-social-anxiety", "ipt-perinatal", "ipt-bulimia", "ipt-telephone"])
def test_a_contract_may_plan_two_weeks_of_holidays(name):
    course = Course(name).on()
    sessions = course.protocol.contract.sessions.max
    assert course.refused("agree_contract", sessions=sessions, weeks=sessions + 2) == {}
    assert "contract_in_range" in course.refused("agree_contract", sessions=sessions, weeks=sessions + 5)


@pytest.mark.parametrize("name", FORMS)
def test_every_example_of_a_form_can_be_read(name):
    """Every example that options offers is well formed, in the first phase and in the last."""
    course = Course(name).on()
    course.options()
    course.options(S)
    while course.c.phase != course.protocol.last.id:
        course.on()
    course.options()


def test_ipt_uk_has_four_initial_sessions_and_four_final_ones():
    course = Course("ipt-uk").on()
    for _ in range(4):
        course.held()
    assert "phase_session_cap" in course.refused("record_session")
    assert course.protocol.last.sessions_min == 4
    whole = Course("ipt-uk").whole()
    assert whole.counted.attended["final"] == 4
    assert Course("ipt").whole().counted.attended["final"] == 3


def test_ipsrt_tracks_the_rhythm_and_hears_the_prescriber_before_the_middle_phase_and_regulates_it_after():
    course = Course("ipsrt").on()
    for _ in range(3):
        course.held()
    course.papers(without="rhythm_tracked")
    assert set(course.refused("begin_middle")) == {"rhythm_tracked"}
    course.papers()
    assert course.refused("begin_middle") == {}
    again = Course("ipsrt").on().held().held().held().papers(without="prescriber_reviewed")
    assert set(again.refused("begin_middle")) == {"prescriber_reviewed"}
    middle = Course("ipsrt").on().on()
    assert "rhythm_target_set" in middle.refused("begin_final")
    assert "rhythm_target_set" not in middle.papers().refused("begin_final")


def test_ipsrt_has_an_initial_phase_of_two_to_eight_sessions_and_a_fifth_area():
    course = Course("ipsrt").on().held()
    assert "phase_sessions_met" in course.papers().refused("begin_middle")
    assert "phase_sessions_met" not in course.held().refused("begin_middle")
    for _ in range(6):
        course.held()
    assert "phase_session_cap" in course.refused("record_session")
    lost = {"primary": "lost_healthy_self"}
    assert course.refused("select_focus", data=lost) == {}
    ours = Course("ipt").on().do("record_inventory")
    assert "focus_area_allowed" in ours.refused("select_focus", data=lost)


@pytest.mark.parametrize("name", sorted(set(FORMS) - {"ipsrt", "ipt-maintenance"}))
def test_no_other_form_asks_for_a_rhythm(name):
    assert "record_rhythm" not in form(name).key
    with pytest.raises(CommandInvalid):
        Course(name).fire("set_rhythm_target", data={"targets": [{"activity": "dinner", "time": "18:00"}]})


def test_ipt_a_asks_client_and_guardian_meets_a_parent_and_limits_the_sick_role():
    course = Course("ipt-a")
    course.fire("record_consent", scope="treatment", who="client")
    assert "consent_given" in course.refused("start")
    course.fire("record_consent", scope="treatment", who="guardian")
    course.fire("start")
    course.held().papers(without="parent_involved")
    assert set(course.refused("begin_middle")) == {"parent_involved"}
    assert course.papers().refused("begin_middle") == {}
    assert "sick_role_mode_fits" in course.refused("assign_sick_role", mode="full")
    assert course.refused("assign_sick_role", mode="limited") == {}


def test_ipt_a_is_for_twelve_to_eighteen_years():
    assert set(Course("ipt-a", age_band="30-40").papers().refused("start")) == {"age_fits"}
    assert Course("ipt-a", age_band="13-15").papers().refused("start") == {}
    assert "age_fits" in Course("ipt", age_band="13-15").papers().refused("start")


def test_ipt_late_life_is_for_sixty_years_and_more():
    assert set(Course("ipt-late-life", age_band="35-44").papers().refused("start")) == {"age_fits"}
    assert Course("ipt-late-life", age_band="65+").papers().refused("start") == {}


def test_ipt_maintenance_has_no_phases_is_reviewed_and_stands_beside_no_acute_course():
    course = Course("ipt-maintenance").on()
    assert course.state == "maintenance"
    assert [name for name in course.machine.triggers if name.startswith(BEGIN_PREFIX)] == []
    course.held().papers(without="review_held")
    assert set(course.refused("complete")) == {"review_held"}
    assert course.papers().refused("complete") == {}
    assert not course.c.acute
    assert "sick_role_used" in course.do("record_evaluation").refused("assign_sick_role")


def test_ipt_maintenance_keeps_the_rhythm_of_ipsrt():
    done = Course("ipsrt").whole()
    later = opened_after(done, form("ipt-maintenance"))
    assert later.c.rhythm.targets == done.c.rhythm.targets
    assert later.c.rhythm.count == done.c.rhythm.count > 0
    assert later.refused("record_rhythm") == {}


def test_ipt_maintenance_follows_a_completed_course():
    done = Course("ipt").whole()
    done.target = form("ipt-maintenance")
    assert done.refused("open_followup", data={"protocol": "ipt-maintenance"}) == {}


@pytest.mark.parametrize(
    ("name", "fits", "does_not"),
    (
        ("ipt-dysthymia", 16, 12),
        ("ipt-ptsd", 14, 12),
        ("ipt-social-anxiety", 14, 16),
        ("ipt-eating-disorders", 20, 12),
        ("ipt-perinatal", 12, 16),
    ),
)
def test_a_contract_outside_the_forms_sessions_needs_a_supervisor(name, fits, does_not):
    course = Course(name).on()
    assert course.refused("agree_contract", sessions=fits) == {}
    assert set(course.refused("agree_contract", sessions=does_not)) == {"contract_in_range"}
    assert course.refused("agree_contract", sessions=does_not, cosigner=S) == {}


def test_ipt_hiv_may_work_on_all_four_areas_and_advises_against_deficits():
    course = Course("ipt-hiv").on().do("record_inventory")
    three = {
        "primary": "role_transition",
        "old_role": "a",
        "new_role": "b",
        "secondary": "role_dispute",
        "stage": "impasse",
        "further": ["grief"],
        "people": ["p1", "p2"],
    }
    assert course.refused("select_focus", data=three) == {}
    deficits = {"primary": "interpersonal_deficits", "others_do_not_fit": True}
    assert set(course.refused("select_focus", data=deficits)) == {"focus_encouraged"}
    ours = Course("ipt").on().do("record_inventory")
    assert set(ours.refused("select_focus", data=three)) == {"focus_count"}
    assert ours.refused("select_focus", data=deficits) == {}


@pytest.mark.parametrize("name", ("ipt-bulimia", "ipt-three-areas", "ipt-maintenance"))
def test_a_form_without_the_sick_role_neither_gives_nor_asks_for_it(name):
    course = Course(name).on().do("record_evaluation")
    assert "sick_role_used" in course.refused("assign_sick_role")
    assert Course(name).whole().c.sick_role.status == "pending"


@pytest.mark.parametrize(
    "name", ("ipt", "ipt-uk", "ipsrt", "ipt-a", "ipt-hiv", "ipt-ptsd", "ipt-couples", "ipt-telephone", "ipt-perinatal")
)
def test_a_form_with_the_sick_role_does_not_go_on_without_it(name):
    course = Course(name).on()
    for _ in range(course.protocol.first.sessions_min):
        course.held()
    course.papers(without="sick_role_resolved")
    assert set(course.refused("begin_middle")) == {"sick_role_resolved"}
    assert course.papers().refused("begin_middle") == {}


@pytest.mark.parametrize("name", ("ipt-social-anxiety", "ipt-chronic-fatigue", "ipc", "ipt-group"))
def test_a_form_that_leaves_the_sick_role_open_goes_on_with_it_or_without(name):
    course = Course(name).on().do("record_evaluation")
    assert "sick_role_resolved" not in course.refused(course.onward)
    assert course.refused("assign_sick_role") == {}


def test_ipt_social_anxiety_speaks_of_role_insecurity():
    insecurity = {"primary": "role_insecurity"}
    assert Course("ipt-social-anxiety").on().do("record_inventory").refused("select_focus", data=insecurity) == {}
    assert "focus_area_allowed" in Course("ipt").on().do("record_inventory").refused("select_focus", data=insecurity)


def test_ipt_chronic_fatigue_says_that_it_rests_on_the_seed_alone():
    text = (ROOT / "config" / "protocols" / "ipt-chronic-fatigue.toml").read_text(encoding="utf-8")
    assert text.startswith("# SEED ONLY.")
    rows = tomllib.loads(text)["evidence"]
    assert {row["confidence"] for row in rows} == {"seed", "design"}
    assert [row["source"] for row in rows if row["confidence"] == "seed"] == ["S17 only; no manual or dosage was found"]


def test_ipt_couples_is_of_both_partners_and_their_dispute():
    course = Course("ipt-couples")
    course.fire("record_consent", scope="treatment", who="client")
    assert "consent_given" in course.refused("start")
    course.on()
    assert set(course.refused("record_session", participants=["client"])) == {"participants_present"}
    assert course.refused("record_session", participants=["client", "partner"]) == {}
    transition = {"primary": "role_transition", "old_role": "a", "new_role": "b"}
    assert "focus_area_allowed" in course.do("record_inventory").refused("select_focus", data=transition)


def test_ipt_group_is_given_by_supervised_helpers_after_a_meeting_of_ones_own():
    course = Course("ipt-group").do("record_consent")
    assert set(course.refused("start", data={})) == {"supervisor_named"}
    course.fire("start")
    course.held().papers(without="pre_group_met")
    assert set(course.refused("begin_middle")) == {"pre_group_met"}
    assert course.papers().refused("begin_middle") == {}
    assert {spec.count for spec in course.protocol.phases} == {"held"}


def test_ipt_telephone_is_given_by_telephone():
    course = Course("ipt-telephone").on()
    assert set(course.refused("record_session", medium="video")) == {"medium_allowed"}
    assert course.refused("record_session", medium="telephone") == {}
    assert Course("ipt").on().refused("record_session", medium="video") == {}


def test_ipc_is_given_under_supervision_asks_for_no_diagnosis_and_refers_on_who_is_still_unwell():
    course = Course("ipc").papers()
    assert set(course.refused("start", data={"provider": "non_specialist"})) == {"supervisor_named"}
    assert course.refused("start", provider="non_specialist") == {}
    while course.c.phase != "final":
        course.on()
    assert not course.c.evaluated
    course.held().papers()
    course.fire("record_measure", data={"instrument": "phq9", "total": 14})
    assert set(course.refused("complete")) == {"step_up_referred"}
    assert course.do("refer_on").refused("complete") == {}


def test_a_helper_who_is_no_specialist_does_not_give_the_others():
    assert set(Course("ipt").papers().refused("start", provider="non_specialist")) == {"provider_fits"}


def test_ipt_brief_begins_with_engagement_and_has_two_initial_sessions_and_one_final():
    course = Course("ipt-brief").on().held()
    course.papers(without="engagement_met")
    assert set(course.refused("begin_middle")) == {"engagement_met", "phase_sessions_met"}
    course.papers()
    assert set(course.refused("begin_middle")) == {"phase_sessions_met"}
    assert course.held().refused("begin_middle") == {}
    assert "phase_session_cap" in course.refused("record_session")
    assert Course("ipt-brief").whole().counted.attended == {"initial": 2, "middle": 5, "final": 1}


def test_ipt_perinatal_measures_with_the_edinburgh_scale_and_reads_its_last_item():
    course = Course("ipt-perinatal").on()
    course.fire("record_measure", data={"instrument": "epds", "items": [1] * 9 + [1]})
    assert (course.c.measures["epds@1"].last.total, course.c.risk.open_since is not None) == (10, True)


def test_ipt_three_areas_has_grief_and_loss_without_a_death_and_no_deficits():
    course = Course("ipt-three-areas").on()
    course.fire("record_inventory", people=[{"id": "p1", "relationship": "partner"}])
    assert course.refused("select_focus", data={"primary": "grief_and_loss"}) == {}
    assert "focus_area_allowed" in course.refused(
        "select_focus", data={"primary": "interpersonal_deficits", "others_do_not_fit": True}
    )
    ours = Course("ipt").on()
    ours.fire("record_inventory", people=[{"id": "p1", "relationship": "partner"}])
    assert "focus_grounded" in ours.refused("select_focus", data={"primary": "grief"})


def fits(name: str, indication: str) -> bool:
    course = Course(name, indication=indication).papers()
    return "indication_fits" not in course.refused("start")


def test_ipt_is_used_to_treat_adolescent_disorders():
    assert fits("ipt-a", "adolescent_depression")
    assert form("ipt-a").ages.max == 18


def test_ipt_is_used_to_treat_anxiety():
    assert fits("ipt-social-anxiety", "anxiety")
    assert fits("ipt-ptsd", "anxiety")


def test_ipt_is_used_to_treat_bulimia_nervosa():
    assert fits("ipt-bulimia", "bulimia_nervosa")
    assert fits("ipt-eating-disorders", "bulimia_nervosa")


def test_ipt_is_used_to_treat_chronic_fatigue():
    assert fits("ipt-chronic-fatigue", "chronic_fatigue")
    assert not fits("ipt", "chronic_fatigue")


def test_ipt_is_used_to_treat_depression_in_later_life():
    assert fits("ipt-late-life", "depression_in_later_life")


def test_ipt_is_used_to_treat_mood_disorders_associated_with_hiv():
    assert fits("ipt-hiv", "mood_disorder_with_hiv")


@pytest.mark.parametrize(
    ("name", "indication"), (("ipt", "depression"), ("ipsrt", "bipolar_disorder"), ("ipt-dysthymia", "dysthymia"))
)
def test_ipt_is_used_to_treat_mood_disorders_such_as_depression_bipolar_and_dysthymic_disorders(name, indication):
    assert fits(name, indication)


def test_bipolar_disorder_is_for_ipsrt_and_not_for_ipt():
    assert not fits("ipt", "bipolar_disorder")


@pytest.mark.parametrize(
    ("adapted_for", "name", "key", "value"),
    (
        ("couples therapy", "ipt-couples", "format", "couple"),
        ("group therapy", "ipt-group", "format", "group"),
        ("telephone therapy", "ipt-telephone", "format", "telephone"),
        ("counselling by non-mental health workers", "ipc", "provider", "non_specialist"),
    ),
    ids=lambda each: each,
)
def test_ipt_has_been_adapted_for(adapted_for, name, key, value):
    assert getattr(form(name), key) == value
    assert Course(name).whole().state == "completed", adapted_for


def test_the_worked_example_of_the_readme_loads_and_is_walked_to_its_end(monkeypatch):
    text = (ROOT / "config" / "protocols" / "README.md").read_text(encoding="utf-8")
    source = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    campus = read_definition(source, ipt().instruments)
    monkeypatch.setattr(f"{__name__}.form", lambda _name: campus)
    course = Course("ipt-campus").whole()
    assert course.state == "completed"
    assert course.counted.attended == {"initial": 1, "middle": 3, "final": 2}


def test_the_readme_shows_what_lint_says_of_its_example(tmp_path):
    text = (ROOT / "config" / "protocols" / "README.md").read_text(encoding="utf-8")
    file = tmp_path / "ipt-campus.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    result = CliRunner().invoke(app, ["protocol", "lint", str(file)])
    assert result.exit_code == 0, result.output
    assert _without_seconds(result.stdout.strip()) in _without_seconds(text)
    start = text.index('[[measures]]\naim = "social_support"')
    draft = text[:start] + text[text.index("[[evidence]]", start) :]
    file.write_text(re.search(r"```toml\n(.*?)```", draft, re.DOTALL)[1], encoding="utf-8")
    result = CliRunner().invoke(app, ["protocol", "lint", str(file)])
    found = [line for line in result.stdout.splitlines() if re.match(r"  [a-z_]+: (?!holds)", line)]
    assert found == re.findall(r"^  (?:a_plain|every_rule)[a-z_]*: (?!holds).*$", text, re.MULTILINE)


def _without_seconds(output: str) -> str:
    return re.sub(r", [0-9.]+ s\)", ")", output)


def test_every_number_of_every_form_says_how_sure_it_is():
    for name in FORMS:
        rows = tomllib.loads((ROOT / "config" / "protocols" / f"{name}.toml").read_text(encoding="utf-8"))["evidence"]
        assert all(row["source"] and row["confidence"] for row in rows), name


def test_there_are_twenty_forms_and_no_two_are_alike():
    assert len({form(name).digest for name in FORMS}) == len(FORMS) == 21

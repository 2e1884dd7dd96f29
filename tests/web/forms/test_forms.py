"""Forms from payloads: what they show, what they read, and everything that is wrong at once."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from support.payload_examples import example_data

from ipt_workflow.course import payloads, triggers
from ipt_workflow.values.faults import decode
from ipt_workflow.web.forms import Choice, FieldFault, FormContext, FormField, describe, errors, first_pairs, moment, name_of, read
from ipt_workflow.web.forms.shapes import shapes

LONDON, BERLIN = ZoneInfo("Europe/London"), ZoneInfo("Europe/Berlin")
PAYLOADS = sorted({row.payload for row in triggers.TABLE}, key=lambda payload: payload.__name__)


def fields_of(struct, pairs=None, **more) -> dict[str, FormField]:
    return {field.name: field for field in describe(struct, FormContext(pairs=pairs or {}, **more))}


def faults_of(struct, **pairs: str) -> dict[str, str]:
    found = read(struct, {name: [value] for name, value in pairs.items()}, LONDON).faults
    return {fault.name: fault.text() for fault in found}


@pytest.mark.parametrize("payload", [each for each in PAYLOADS if each is not payloads.Amend], ids=lambda payload: payload.__name__)
def test_what_a_form_begins_with_is_read_as_the_same_data(payload):
    for data in example_data(payload):
        again = read(payload, first_pairs(payload, data, BERLIN), BERLIN)
        assert again.faults == ()
        assert decode(payload, again.data)[0] == decode(payload, data)[0]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__)
def test_an_empty_form_names_every_field_that_is_required_and_no_other(payload):
    found = {fault.name for fault in read(payload, {}, LONDON).faults}
    assert found == {each.name for each in shapes(payload) if each.required and each.kind != "tick"}


def test_options_stand_in_the_order_in_which_the_codes_were_written():
    level = fields_of(payloads.AssessRisk)["level"]
    assert [(each.value, each.text) for each in level.options] == [
        ("none", "No risk"),
        ("monitored", "To be watched"),
        ("elevated", "Elevated"),
        ("acute", "Acute"),
    ]


def test_every_fault_is_found_at_once():
    assert faults_of(payloads.AgreeContract, sessions="many", weeks="0", goals="a\nb\nc\nd\ne\nf", cadence_days="") == {
        "sessions": "Enter a whole number.",
        "weeks": "Enter a whole number from 1 to 260.",
        "goals": "Give at most 5.",
    }


def test_what_was_typed_is_shown_again_with_what_is_wrong():
    pairs = {"sessions": ["twelve"]}
    faults = read(payloads.AgreeContract, pairs, LONDON).faults
    field = fields_of(payloads.AgreeContract, pairs, faults=faults)["sessions"]
    assert (field.value, field.error) == ("twelve", "Enter a whole number.")


def test_the_summary_says_which_field_and_links_to_its_control():
    pairs = {"people.0.id": ["mother"], "people.1.died_on-day": ["31"], "people.1.id": ["father"]}
    context = FormContext(pairs=pairs, faults=read(payloads.RecordInventory, pairs, LONDON).faults)
    fields = describe(payloads.RecordInventory, context)
    assert errors(fields, context.faults) == [
        ("Person 2, Day of death: Enter a real day, with day, month and year.", "f-people-1-died_on-day")
    ]


def test_a_row_is_added_where_the_button_was_pressed_and_what_is_typed_stays():
    pairs = {"events.0.when": ["spring"], "events.0.event": [""]}
    rows = fields_of(payloads.RecordTimeline, pairs, add="events")["events"].rows
    assert [row[0].name for row in rows] == ["events.0.when", "events.1.when"]
    assert rows[0][0].value == "spring"


def test_rows_left_empty_are_no_rows_and_faults_name_the_row_that_was_posted():
    pairs = {
        "exemptions.0.obligation": [""],
        "exemptions.0.until": [""],
        "exemptions.1.obligation": ["work"],
        "exemptions.1.until": [""],
    }
    assert {fault.name for fault in read(payloads.UpdateSickRole, pairs, LONDON).faults} == {"exemptions.1.until"}


def test_a_row_with_nothing_but_what_the_form_proposes_was_left_empty():
    pairs = {
        "targets.0.activity": ["dinner"],
        "targets.0.time": ["18:30"],
        "targets.0.within_minutes": ["45"],
        "targets.1.within_minutes": ["45"],
    }
    assert len(read(payloads.SetRhythmTarget, pairs, LONDON).data["targets"]) == 1


def test_no_more_rows_are_added_than_the_payload_takes():
    pairs = {f"days.{number}.mood": ["1"] for number in range(7)}
    assert len(fields_of(payloads.RecordRhythm, pairs, add="days")["days"].rows) == 7


def test_somebody_who_posts_a_row_of_a_huge_number_gets_one_row():
    assert len(fields_of(payloads.RecordTimeline, {"events.9999.when": ["x"]})["events"].rows) == 1


def test_a_time_is_that_of_the_readers_zone():
    summer = {"scheduled_for": ["2026-07-01T10:00"]}
    assert read(payloads.BookSession, summer, BERLIN).data == {"scheduled_for": "2026-07-01T10:00:00+02:00"}
    assert read(payloads.BookSession, summer, LONDON).data == {"scheduled_for": "2026-07-01T10:00:00+01:00"}


@pytest.mark.parametrize("written", ["2026-03-01", "1.3.2026", "1/3/2026", "01 03 2026"])
def test_days_are_read_as_people_write_them(written: str):
    assert read(payloads.Pause, {"planned_return": [written]}, LONDON).data == {"planned_return": "2026-03-01"}


@pytest.mark.parametrize("written", ["tomorrow", "31.2.2026", "2026-13-01", "1.3.26"])
def test_what_is_no_day_is_said_to_be_none(written: str):
    assert faults_of(payloads.Pause, planned_return=written) == {"planned_return": "Enter a real day, with day, month and year."}


def test_a_day_that_is_far_off_is_refused():
    assert faults_of(payloads.Pause, planned_return="1.1.1066") == {"planned_return": "Enter a year from 1900 to 2199."}


def test_a_remembered_day_has_three_controls():
    pairs = {
        "people.0.id": ["father"],
        "people.0.died_on-day": ["3"],
        "people.0.died_on-month": ["11"],
        "people.0.died_on-year": ["1987"],
    }
    assert read(payloads.RecordInventory, pairs, LONDON).data == {"people": [{"id": "father", "died_on": "1987-11-03"}]}


def test_a_decimal_comma_is_a_decimal_point():
    assert read(payloads.RecordMeasure, {"instrument": ["edeq@2"], "total": ["4,2"]}, LONDON).data["total"] == 4.2


def test_answers_stand_one_a_line_and_a_dash_is_a_missing_one():
    assert read(payloads.RecordMeasure, {"instrument": ["phq9@1"], "items": ["1\n2\n-\n0"]}, LONDON).data["items"] == [
        1,
        2,
        None,
        0,
    ]


def test_lines_come_with_line_feeds_alone():
    assert read(payloads.Note, {"text": ["one\r\ntwo "]}, LONDON).data == {"text": "one\ntwo"}


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b"])
def test_what_cannot_be_printed_is_refused(text: str):
    assert faults_of(payloads.Note, text=text) == {"text": "Remove characters that cannot be printed."}


def test_a_text_has_at_most_as_many_characters_as_the_payload_takes():
    assert faults_of(payloads.Note, text="x" * 4001) == {"text": "Write at most 4000 characters."}


def test_a_code_that_is_not_offered_is_refused():
    assert faults_of(payloads.AssessRisk, level="terrible") == {"level": "Choose one."}


def test_a_box_that_is_not_ticked_is_no_and_one_that_was_never_shown_too():
    assert read(payloads.SetDisputeStage, {"stage": ["impasse"]}, LONDON).data == {"stage": "impasse"}
    required = read(payloads.AmendContract, {"client_agrees": ["true"]}, LONDON).data
    assert required == {"client_agrees": True, "therapist_agrees": False}


def test_what_may_be_left_as_it_is_offers_yes_and_no():
    field = fields_of(payloads.AmendContract)["missed_count"]
    assert (field.kind, [each.value for each in field.options]) == ("select", ["true", "false"])
    assert read(payloads.AmendContract, {"missed_count": ["false"]}, LONDON).data["missed_count"] is False


def test_fields_that_hold_codes_of_the_course_offer_its_choices():
    areas = (Choice("grief", "Grief"), Choice("role_dispute", "Role dispute"))
    fields = fields_of(payloads.SelectFocus, choices={"primary": areas, "further": areas, "people": ()})
    assert (fields["primary"].kind, fields["further"].kind, fields["secondary"].kind) == ("radios", "ticks", "text")
    assert fields_of(payloads.SelectFocus, choices={"secondary": areas})["secondary"].kind == "select"
    assert fields["primary"].options == areas


def test_a_list_that_a_form_begins_with_is_ticked_where_it_is_offered_as_boxes():
    people = (Choice("a", "A"), Choice("b", "B"), Choice("c", "C"))
    pairs = first_pairs(payloads.SelectFocus, {"primary": "grief", "people": ["a", "c"]}, LONDON)
    assert fields_of(payloads.SelectFocus, pairs, choices={"people": people})["people"].values == ("a", "c")


def test_times_by_activity_are_a_group_of_controls():
    choices = {"days.times": (Choice("dinner", "Dinner"), Choice("to_bed", "To bed"))}
    (row,) = fields_of(payloads.RecordRhythm, choices=choices)["days"].rows
    times = {field.name: field for field in row}["days.0.times"]
    assert [(each.name, each.kind, each.label) for each in times.fields] == [
        ("days.0.times.dinner", "clock", "Dinner"),
        ("days.0.times.to_bed", "clock", "To bed"),
    ]


def test_a_form_of_several_payloads_keeps_their_names_apart():
    pairs = {"risk.level": ["none"], "level": ["acute"]}
    assert read(payloads.AssessRisk, pairs, LONDON, "risk.").data == {"level": "none"}
    assert next(iter(describe(payloads.AssessRisk, FormContext(pairs=pairs), "risk."))).name == "risk.level"


@pytest.mark.parametrize(
    ("where", "name"),
    [("data.plan", "plan"), ("data.days[1].on", "days.4.on"), ("data.refs[2]", "refs"), ("reason", "reason"), ("data", "")],
)
def test_the_place_of_a_fault_is_the_control_that_was_posted(where: str, name: str):
    assert name_of(where, {"days.2.on": [""], "days.4.on": [""]}) == name


def test_a_moment_beside_the_data_is_read_as_those_within():
    assert moment("occurred_at", "", LONDON) == (None, [])
    assert moment("occurred_at", "2026-07-01T10:00", BERLIN) == (dt.datetime(2026, 7, 1, 8, tzinfo=dt.UTC), [])
    assert moment("occurred_at", "soon", LONDON)[1] == [FieldFault("occurred_at", "Enter a day and a time.")]


def test_sentences_are_translated_with_their_numbers():
    fault = FieldFault("weeks", "Give at most %(most)s.", {"most": 5})
    assert fault.text({"Give at most %(most)s.": "Höchstens %(most)s."}.__getitem__) == "Höchstens 5."


def test_every_payload_of_every_trigger_is_described():
    for payload in PAYLOADS:
        assert len(describe(payload, FormContext(pairs={}))) <= len(shapes(payload))

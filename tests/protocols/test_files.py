"""Loading protocol and instrument files: every fault from both sides, and all of them at once."""

import copy
import datetime as dt
import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.errors import ProtocolInvalid
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.checks import KnownRules, walk
from ipt_workflow.protocols.definition import RESERVED_STATES
from ipt_workflow.protocols.files import check_unchanged, load_catalogue, read_definition

CONFIG = Path(__file__).parents[2] / "config"
IPT = tomllib.loads((CONFIG / "protocols" / "ipt.toml").read_text())
PHQ9 = tomllib.loads((CONFIG / "instruments" / "phq9.toml").read_text())
SHIPPED = load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES)
INITIAL, MIDDLE, FINAL = "phases[0]", "phases[1]", "phases[2]"
REMOVED = object()


def to_toml(value):
    """A document as TOML. Tables within are written inline, which TOML allows everywhere."""
    return "".join(f"{json.dumps(name)} = {_inline(item)}\n" for name, item in value.items())


def _inline(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_inline(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value, ensure_ascii=False)


def changed(document, changes):
    """The document with values set or removed at paths such as `phases[0].sessions_min`."""
    document = copy.deepcopy(document)
    for path, value in changes.items():
        parts = path.replace("[", ".").replace("]", "").split(".")
        *parents, last = [int(part) if part.isdigit() else part for part in parts]
        table = document
        for part in parents:
            table = table[part]
        if value is REMOVED:
            del table[last]
        else:
            table[last] = value
    return document


class Folders:
    def __init__(self, root):
        self.protocols, self.instruments = root / "protocols", root / "instruments"
        self.protocols.mkdir()
        shutil.copytree(CONFIG / "instruments", self.instruments)

    def protocol(self, document, name="ipt.toml"):
        (self.protocols / name).write_text(document if isinstance(document, str) else to_toml(document))
        return self

    def instrument(self, document, name="phq9.toml"):
        (self.instruments / name).write_text(document if isinstance(document, str) else to_toml(document))
        return self

    def load(self, known=KNOWN_RULES):
        return load_catalogue(self.protocols, self.instruments, known)

    def faults(self, known=KNOWN_RULES):
        with pytest.raises(ProtocolInvalid) as caught:
            self.load(known)
        return {fault.where: fault.message for fault in caught.value.faults}


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path)


def at(*keys):
    return {f"ipt.toml: {key}" for key in keys}


# The protocol we ship


def test_the_default_protocol_is_the_one_the_seed_describes():
    ipt = SHIPPED.get("ipt", 2)
    assert [phase.id for phase in ipt.phases] == ["initial", "middle", "final"]
    assert [(phase.sessions_min, phase.sessions_max) for phase in ipt.phases] == [(1, 3), (1, None), (3, 3)]
    assert ipt.first.sessions_max_extended == 4
    assert (str(ipt.contract.weeks), str(ipt.contract.sessions)) == ("12 to 16", "12 to 16")
    assert ipt.sick_role.mode == "full"
    assert ipt.focus.areas == ("grief", "role_dispute", "role_transition", "interpersonal_deficits")
    assert ipt.focus.max == 2
    assert ipt.instruments_for("symptoms")[:2] == ("phq9@1", "gad7@1")
    assert ipt.instruments == SHIPPED.instruments


def test_a_document_written_in_another_layout_loads_to_the_same_protocol(folders):
    assert folders.protocol(IPT).load().get("ipt") == SHIPPED.get("ipt")


# Finding a protocol


def test_a_protocol_is_found_at_its_latest_version_unless_one_is_named(folders):
    folders.protocol(changed(IPT, {"version": 1}), "ipt@1.toml").protocol(changed(IPT, {"version": 10}), "ipt@10.toml")
    catalogue = folders.protocol(IPT, "ipt@2.toml").load()
    assert catalogue.latest("ipt").version == 10
    assert catalogue.get("ipt") is catalogue.latest("ipt")
    assert catalogue.get("ipt", 2).version == 2
    assert catalogue.files == {("ipt", 1): "ipt@1.toml", ("ipt", 2): "ipt@2.toml", ("ipt", 10): "ipt@10.toml"}


def test_an_unknown_protocol_is_a_key_error():
    for look in (
        lambda: SHIPPED.get("none"),
        lambda: SHIPPED.get("none", 1),
        lambda: SHIPPED.get("ipt", 99),
        lambda: SHIPPED.latest("none"),
    ):
        with pytest.raises(KeyError):
            look()


# Digests


def test_the_digest_is_the_sha256_of_the_canonical_document_as_written():
    assert SHIPPED.get("ipt").digest == hashlib.sha256(rfc8785.dumps(IPT)).hexdigest()
    assert SHIPPED.instruments["phq9@1"].digest == hashlib.sha256(rfc8785.dumps(PHQ9)).hexdigest()


def test_the_digest_of_a_known_document_never_changes():
    document = tomllib.loads('b = "é"\na = [1, true]\n')
    known = "719470661d7bcaff37673edac3675fcfc435e78ebf53ab13291e985097f14f5b"  # of {"a":[1,true],"b":"é"}
    assert protocol_files.digest(document) == known


def test_comments_layout_and_order_of_keys_leave_the_digest_alone(folders):
    backwards = "# another comment\n\n" + to_toml(dict(reversed(IPT.items())))
    assert folders.protocol(backwards).load().get("ipt").digest == SHIPPED.get("ipt").digest


def test_a_default_written_out_is_another_document(folders):
    written = changed(IPT, {f"{INITIAL}.count": "attended"})
    assert folders.protocol(written).load().get("ipt").digest != SHIPPED.get("ipt").digest


@given(st.integers(1, 365), st.integers(1, 365))
def test_documents_have_the_same_digest_exactly_when_they_say_the_same(one, other):
    digests = [protocol_files.digest(changed(IPT, {"contract.gap_days": days})) for days in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


def test_a_stored_definition_becomes_the_same_protocol_with_the_same_digest():
    stored = msgspec.json.encode(SHIPPED.get("ipt").source)
    assert read_definition(msgspec.json.decode(stored), SHIPPED.instruments) == SHIPPED.get("ipt")


def test_an_unchanged_file_passes_and_so_does_a_stored_protocol_without_a_file():
    check_unchanged(SHIPPED, [("ipt", 2, SHIPPED.get("ipt").digest), ("ipt", 1, "of an older file"), ("gone", 3, "00")])


def test_a_file_changed_under_an_old_version_names_file_version_digests_and_what_to_do(folders):
    catalogue = folders.protocol(changed(IPT, {"contract.gap_days": 28})).load()
    old, new = SHIPPED.get("ipt").digest, catalogue.get("ipt").digest
    with pytest.raises(ProtocolInvalid) as caught:
        check_unchanged(catalogue, [("ipt", 2, old)])
    (fault,) = caught.value.faults
    assert fault.where == "ipt.toml: version"
    for part in ("ipt@2", old, new, "version = 3"):
        assert part in fault.message


# Faults of shape


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    [
        ({"titel": "x"}, "titel", "did you mean title?"),
        ({"contract.cadance_days": 7}, "contract.cadance_days", "did you mean cadence_days?"),
        ({f"{INITIAL}.sesions_max": 3}, f"{INITIAL}.sesions_max", "did you mean sessions_max?"),
        ({"sick_role.zzz": 1}, "sick_role.zzz", "known are mode"),
        ({"title": REMOVED}, "title", "is required"),
        ({"contract.weeks.min": REMOVED}, "contract.weeks.min", "is required"),
        ({f"{INITIAL}.sessions_min": REMOVED}, f"{INITIAL}.sessions_min", "is required"),
        ({"contract.grace_days": "14"}, "contract.grace_days", "must be a whole number"),
        ({"contract.grace_days": True}, "contract.grace_days", "must be a whole number"),
        ({"acute": 1}, "acute", "must be a boolean"),
        ({"contract": "12 weeks"}, "contract", "must be a table"),
        ({"indications": "depression"}, "indications", "must be a list"),
        ({"indications": []}, "indications", "must have at least 1 item"),
        ({"phases": []}, "phases", "must have at least 1 item"),
        ({"format": "letter"}, "format", "must be one of couple, group, individual, telephone"),
        ({"sick_role.mode": []}, "sick_role.mode", "must be one of full"),
        ({"sick_role.mode": "limted"}, "sick_role.mode", "must be one of full, limited, not_used, optional"),
        ({f"{INITIAL}.sessions_max": "3"}, f"{INITIAL}.sessions_max", "must be a whole number"),
        (
            {f"{MIDDLE}.rules[0].parameters.minimum": [6]},
            f"{MIDDLE}.rules[0].parameters.minimum",
            "must be a ",
        ),
        ({"id": "IPT"}, "id", "must match ^[a-z]"),
        ({"version": 0}, "version", "must be at least 1"),
    ],
)
def test_a_document_of_the_wrong_shape_has_a_fault_that_names_place_and_remedy(folders, changes, where, says):
    faults = folders.protocol(changed(IPT, changes)).faults()
    assert says in faults[f"ipt.toml: {where}"]


@pytest.mark.parametrize("value", [14.0, 1.5, dt.date(2026, 1, 1), 2**53])
def test_values_without_a_canonical_form_are_refused_and_not_hashed(folders, value):
    faults = folders.protocol(changed(IPT, {"contract.grace_days": value})).faults()
    assert set(faults) == at("contract.grace_days")


def test_the_largest_number_with_a_canonical_form_is_taken(folders):
    folders.protocol(changed(IPT, {"contract.grace_days": 2**53 - 1})).load()


def test_a_file_that_is_not_toml_has_a_fault_with_line_and_column(folders):
    faults = folders.protocol('id = "ipt"\nversion = \n').faults()
    assert "line 2, column 11" in faults["ipt.toml"]


def test_a_file_that_is_not_utf8_is_a_fault(folders):
    (folders.protocols / "ipt.toml").write_bytes(b'id = "\xff"')
    assert "cannot be read" in folders.faults()["ipt.toml"]


def test_a_folder_without_files_is_a_fault(folders):
    assert folders.faults() == {"protocols/": "has no .toml file"}


# Faults of sense: each with the nearest thing that is right


@pytest.mark.parametrize(
    ("wrong", "where", "right"),
    [
        (
            {"contract.weeks": {"min": 17, "max": 16}},
            "contract.weeks.max",
            {"contract.weeks": {"min": 16, "max": 16}},
        ),
        ({"contract.weeks.min": 0}, "contract.weeks.min", {"contract.weeks.min": 1}),
        ({"contract.minutes.min": 0}, "contract.minutes.min", {"contract.minutes.min": 1}),
        ({"contract.sessions.min": 0}, "contract.sessions.min", {"contract.sessions.min": 1}),
        (
            {"contract.sessions": {"min": 1, "max": 4}},
            "contract.sessions.max",
            {"contract.sessions": {"min": 1, "max": 5}, "attention.check_session": 5},
        ),
        ({"contract.cadence_days": 0}, "contract.cadence_days", {"contract.cadence_days": 1}),
        ({"contract.gap_days": 0}, "contract.gap_days", {"contract.gap_days": 1}),
        ({"contract.grace_days": -1}, "contract.grace_days", {"contract.grace_days": 0}),
        (
            {"contract.ending_notice_days": -1},
            "contract.ending_notice_days",
            {"contract.ending_notice_days": 0},
        ),
        ({"ages.min": 0}, "ages.min", {"ages.min": 1}),
        ({"ages.max": 17}, "ages.max", {"ages.max": 18}),
        ({f"{INITIAL}.sessions_min": 0}, f"{INITIAL}.sessions_min", {f"{INITIAL}.sessions_min": 1}),
        ({f"{INITIAL}.sessions_min": 4}, f"{INITIAL}.sessions_max", {f"{INITIAL}.sessions_min": 3}),
        (
            {f"{INITIAL}.sessions_max_extended": 3},
            f"{INITIAL}.sessions_max_extended",
            {f"{INITIAL}.sessions_max_extended": 5},
        ),
        (
            {f"{INITIAL}.sessions_max": REMOVED, f"{INITIAL}.sessions_max_extended": REMOVED},
            f"{INITIAL}.sessions_max",
            {},
        ),
        ({f"{FINAL}.sessions_max": REMOVED}, f"{FINAL}.sessions_max", {}),
        ({f"{FINAL}.sessions_max": 4}, f"{FINAL}.sessions_max", {}),
        ({f"{INITIAL}.id": "middle"}, f"{MIDDLE}.id", {f"{INITIAL}.id": "opening"}),
        ({f"{INITIAL}.id": "Opening"}, f"{INITIAL}.id", {f"{INITIAL}.id": "opening_2"}),
        ({f"{INITIAL}.requires[0]": "evalution"}, f"{INITIAL}.requires", {}),
        ({f"{INITIAL}.requires[0]": "history"}, f"{INITIAL}.requires[1]", {}),
        ({f"{INITIAL}.soft": ["gains"]}, f"{INITIAL}.soft", {f"{INITIAL}.soft": ["timeline", "focus"]}),
        (
            {f"{INITIAL}.soft": ["sick_role"]},
            f"{INITIAL}.soft",
            {f"{INITIAL}.soft": ["sick_role"], "sick_role.mode": "optional"},
        ),
        (
            {f"{INITIAL}.soft": ["sick_role"], "sick_role.mode": "limited"},
            f"{INITIAL}.soft",
            {"sick_role.mode": "limited"},
        ),
        (
            {"sick_role.mode": "not_used"},
            f"{INITIAL}.requires",
            {"sick_role.mode": "not_used", f"{INITIAL}.requires[7]": REMOVED},
        ),
        ({f"{MIDDLE}.rules[1].rule": "focus_wroked"}, f"{MIDDLE}.rules[1].rule", {}),
        ({f"{MIDDLE}.rules[0].parameters.most": 6}, f"{MIDDLE}.rules[0].parameters", {}),
        ({"focus.max": 0}, "focus.max", {"focus.max": 1}),
        ({"focus.max": 5}, "focus.max", {"focus.max": 4}),
        ({"focus.areas": ["grief", "grief"]}, "focus.areas[1]", {"focus.areas": ["grief", "role_dispute"]}),
        ({"focus.areas": []}, "focus.areas", {}),
        (
            {"measures[0].instruments": ["phq9@2"]},
            "measures[0].instruments",
            {"measures[0].instruments": ["phq9@1"]},
        ),
        ({"measures[0].instruments": ["mspss@1"]}, "measures[0].instruments", {}),
        ({"measures[0].instruments": []}, "measures[0].instruments", {}),
        ({"measures[0]": REMOVED}, "measures", {"measures[1]": REMOVED}),
        ({"measures[1]": IPT["measures"][0]}, "measures[1].aim", {}),
        ({"measures[0].instruments": ["phq9@1", "phq9@1"]}, "measures[0].instruments[1]", {"measures[0].instruments": ["phq9@1"]}),
        ({"measures[0].baseline_days": 0}, "measures[0].baseline_days", {"measures[0].baseline_days": 1}),
        ({"measures[0].baseline_days": 3651}, "measures[0].baseline_days", {"measures[0].baseline_days": 3650}),
        ({"attention.misses": 0}, "attention.misses", {"attention.misses": 1}),
        ({"attention.check_session": 17}, "attention.check_session", {"attention.check_session": 16}),
        (
            {"medium": {"allowed": ["video"], "default": "telephone"}},
            "medium.default",
            {"medium": {"allowed": ["video", "telephone"], "default": "telephone"}},
        ),
        ({f"{MIDDLE}.rules[0]": IPT["phases"][1]["rules"][1]}, f"{MIDDLE}.rules[1].rule", {}),
        (
            {f"{INITIAL}.requires[7]": REMOVED},
            f"{INITIAL}.requires",
            {f"{INITIAL}.requires[7]": REMOVED, "sick_role.mode": "optional"},
        ),
        ({"evidence[1]": IPT["evidence"][0]}, "evidence[1].key", {}),
        ({"evidence[0].key": "contract.week"}, "evidence[0].key", {}),
        ({"evidence[0]": REMOVED}, "ages.min", {"evidence[1]": REMOVED}),
    ],
)
def test_a_value_that_cannot_be_run_is_a_fault_and_the_nearest_possible_one_is_not(folders, wrong, where, right):
    assert f"ipt.toml: {where}" in folders.protocol(changed(IPT, wrong)).faults()
    folders.protocol(changed(IPT, right)).load()


@pytest.mark.parametrize("state", sorted(RESERVED_STATES))
def test_a_phase_cannot_be_called_as_a_state_is(folders, state):
    assert set(folders.protocol(changed(IPT, {f"{MIDDLE}.id": state})).faults()) == at(f"{MIDDLE}.id")


def test_a_cap_that_nothing_extends_is_a_fault(folders):
    faults = folders.protocol(changed(IPT, {f"{MIDDLE}.sessions_max_extended": 9})).faults()
    assert faults[f"ipt.toml: {MIDDLE}.sessions_max_extended"] == "needs a sessions_max that it extends"


def test_only_one_phase_may_have_all_that_is_left(folders):
    another = {"id": "late", "title": "Late phase", "sessions_min": 1}
    four = [*IPT["phases"][:2], another, IPT["phases"][2]]
    rows = [*IPT["evidence"], {"key": "phases", "source": "test", "confidence": "design"}]
    faults = folders.protocol(changed(IPT, {"phases": four, "evidence": rows})).faults()
    assert f"ipt.toml: {FINAL}.sessions_max" in faults
    four[2] = {**another, "sessions_max": 2}
    faults = folders.protocol(changed(IPT, {"phases": four, "evidence": rows})).faults()
    assert f"ipt.toml: {FINAL}.sessions_max" not in faults


@pytest.mark.parametrize(("middle_max", "loads"), [(9, False), (10, True)])
def test_phases_that_are_all_capped_can_hold_the_longest_contract(folders, middle_max, loads):
    rows = [*IPT["evidence"], {"key": f"{MIDDLE}.sessions_max", "source": "test", "confidence": "design"}]
    folders.protocol(changed(IPT, {f"{MIDDLE}.sessions_max": middle_max, "evidence": rows}))
    if loads:
        folders.load()
    else:
        assert set(folders.faults()) == at("contract.sessions.max")


def test_names_that_are_nearly_known_are_suggested(folders):
    misspelt = {
        f"{INITIAL}.requires[2]": "inventry",
        f"{MIDDLE}.rules[1].rule": "focus_wroked",
        "measures[0].instruments[0]": "phq@1",
    }
    faults = folders.protocol(changed(IPT, misspelt)).faults()
    assert faults[f"ipt.toml: {INITIAL}.requires"] == "inventry is not known; did you mean inventory?"
    assert faults[f"ipt.toml: {MIDDLE}.rules[1].rule"].endswith("did you mean focus_worked?")
    assert faults["ipt.toml: measures[0].instruments"] == "phq@1 is not known; did you mean phq9@1?"


def test_missing_parameters_are_named(folders):
    faults = folders.protocol(changed(IPT, {f"{MIDDLE}.rules[0].parameters": {}})).faults()
    wanted = "must be, for middle_sessions_recommended: minimum"
    assert faults[f"ipt.toml: {MIDDLE}.rules[0].parameters"] == wanted


def test_the_caller_may_tell_which_rules_and_artefacts_there_are(folders):
    known = KnownRules(rules={"other": frozenset()}, artefacts=frozenset({"gains"}))
    faults = folders.protocol(IPT).faults(known)
    assert faults[f"ipt.toml: {MIDDLE}.rules[0].rule"].endswith("known are other")
    assert faults[f"ipt.toml: {MIDDLE}.requires"].endswith("known are gains")


def test_every_number_except_the_version_names_its_source(folders):
    faults = folders.protocol(changed(IPT, {"evidence": IPT["evidence"][:2]})).faults()
    assert f"ipt.toml: {FINAL}.sessions_min" in faults
    assert "ipt.toml: contract.weeks.max" in faults
    assert "ipt.toml: ages.min" not in faults
    assert "ipt.toml: version" not in faults


# Names and twins


@pytest.mark.parametrize("name", ["ipt.toml", "ipt@2.toml"])
def test_a_file_is_named_by_its_protocol_with_or_without_the_version(folders, name):
    assert folders.protocol(IPT, name).load().files == {("ipt", 2): name}


@pytest.mark.parametrize("name", ["other.toml", "ipt@1.toml", "ipt-2.toml"])
def test_a_file_with_another_name_is_a_fault(folders, name):
    faults = folders.protocol(IPT, name).faults()
    assert faults == {f"{name}: id": "does not fit the file's name: rename the file ipt.toml or ipt@2.toml"}


def test_two_files_of_one_id_and_version_are_a_fault(folders):
    faults = folders.protocol(IPT).protocol(IPT, "ipt@2.toml").faults()
    assert faults == {"ipt@2.toml: version": "ipt.toml has the same id and version: each needs its own"}


def test_two_instruments_of_one_id_and_version_are_a_fault(folders):
    faults = folders.protocol(IPT).instrument(PHQ9, "phq9@1.toml").faults()
    assert faults == {"phq9@1.toml: version": "phq9.toml has the same id and version: each needs its own"}


# Instruments


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"itmes": 9}, "itmes"),
        ({"items": 0}, "items"),
        ({"items": "9"}, "items"),
        ({"aim": "mood"}, "aim"),
        ({"licence": REMOVED}, "licence"),
        ({"licence": ""}, "licence"),
        ({"evidence": []}, "evidence"),
        ({"evidence[0].confidence": "sure"}, "evidence[0].confidence"),
        ({"evidence[0].key": "itms"}, "evidence[0].key"),
        ({"evidence[0]": REMOVED}, "items"),
        ({"bands[0].max": 5}, "bands[1].min"),
        ({"bands[0]": {"label": "minimal", "min": 4, "max": 0}}, "bands[0].max"),
        ({"caseness": 28}, "caseness"),
        ({"risk_item": 10}, "risk_item"),
        ({"response_percent": 101}, "response_percent"),
        ({"response_percent": 49.5}, "response_percent"),
        ({"id": "phq"}, "id"),
    ],
)
def test_an_instrument_file_is_checked_as_strictly(folders, changes, where):
    faults = folders.protocol(IPT).instrument(changed(PHQ9, changes)).faults()
    assert f"phq9.toml: {where}" in faults


def test_a_faulty_instrument_is_not_also_reported_as_unknown(folders):
    faults = folders.protocol(IPT).instrument(changed(PHQ9, {"caseness": 28})).faults()
    assert set(faults) == {"phq9.toml: caseness"}


# All at once


def test_all_faults_of_all_files_are_reported_at_once(folders):
    wrong = {
        "titel": "x",
        "acute": REMOVED,
        "contract.weks": 3,
        "contract.weeks": {"min": 9, "max": 8},
        "contract.gap_days": 0,
        "contract.grace_days": 1.5,
        f"{INITIAL}.requires[0]": "evalution",
        f"{INITIAL}.tilte": "x",
        f"{MIDDLE}.id": "paused",
        f"{MIDDLE}.rules[0].rule": "none",
        f"{FINAL}.sessions_max": REMOVED,
        "focus.max": 9,
        "measures[1].instruments": ["iip99@1"],
        "measures[2].aim": "support",
    }
    folders.protocol(changed(IPT, wrong)).protocol("= nothing", "broken.toml")
    faults = folders.instrument(changed(PHQ9, {"risk_item": 12}), "phq9.toml").faults()
    expected = at(
        "titel",
        "acute",
        "contract.weks",
        "contract.weeks.max",
        "contract.gap_days",
        "contract.grace_days",
        f"{INITIAL}.requires",
        f"{INITIAL}.tilte",
        f"{MIDDLE}.id",
        f"{MIDDLE}.rules[0].rule",
        f"{FINAL}.sessions_max",
        "focus.max",
        "measures[1].instruments",
        "measures[2].aim",
    )
    keys = [row["key"] for row in IPT["evidence"]]
    stale = at(*(f"evidence[{keys.index(key)}].key" for key in (f"{FINAL}.sessions_max",)))
    assert set(faults) == expected | stale | {"broken.toml", "phq9.toml: risk_item"}


def test_a_malformed_value_is_one_fault_and_its_table_echoes_no_other(folders):
    faults = folders.protocol(changed(IPT, {"contract.grace_days": "14"})).faults()
    assert set(faults) == at("contract.grace_days")


def test_an_error_lists_each_fault_on_its_line(folders):
    folders.protocol(changed(IPT, {"focus.max": 9, "title": 3}))
    with pytest.raises(ProtocolInvalid) as caught:
        folders.load()
    assert str(caught.value).splitlines() == [
        "The files under config/ are not valid:",
        "  ipt.toml: focus.max: must lie from 1 to 4, the number of areas",
        "  ipt.toml: title: must be a text",
    ]


DOCUMENTS = {"ipt.toml": IPT, "phq9.toml": PHQ9}
PLACES = [(name, where) for name in DOCUMENTS for where, _ in walk(DOCUMENTS[name]) if where]
VALUES = [REMOVED, 0, -1, "x", True, 1.5, [], {}, [{}], {"x": 1}]


@settings(deadline=None)  # it writes and reads files
@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_whatever_is_written_the_loader_loads_it_or_names_faults(tmp_path_factory, place, value):
    name, path = place
    document = changed(DOCUMENTS[name], {path: value})
    folders = Folders(tmp_path_factory.mktemp("config")).protocol(IPT)
    write = folders.protocol if name == "ipt.toml" else folders.instrument
    try:
        loaded = write(document, name).load()
    except ProtocolInvalid as invalid:
        outcome = invalid.faults
    else:
        digests = {loaded.get("ipt").digest, loaded.instruments["phq9@1"].digest}
        outcome = [protocol_files.digest(document) in digests]
    assert outcome
    assert all(outcome)


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    (
        ({"format": "couple"}, "participants.required", "must name partner: format is couple"),
        ({"format": "couple", "participants": {"required": ["client"]}}, "participants.required", "must name partner"),
        ({"format": "telephone", "medium": {"allowed": ["video"]}}, "medium.allowed", "must name telephone: format is telephone"),
        ({"provider": "non_specialist"}, "supervision.required", "must be true: provider is non_specialist"),
        ({"focus.discouraged": ["boredom"]}, "focus.discouraged", "boredom is not among areas"),
    ),
)
def test_a_form_must_have_what_it_depends_on(folders, changes, where, says):
    assert says in folders.protocol(changed(IPT, changes)).faults()[f"ipt.toml: {where}"]


@pytest.mark.parametrize(("artefact", "table"), (("rhythm", "rhythm"), ("pre_group_meeting", "group"), ("review", "review")))
def test_an_artefact_that_reads_a_table_is_required_only_where_there_is_one(folders, artefact, table):
    faults = folders.protocol(changed(IPT, {f"{INITIAL}.requires": [*IPT["phases"][0]["requires"], artefact]})).faults()
    assert faults[f"ipt.toml: {INITIAL}.requires"] == f"names {artefact}: add the table [{table}] that it needs, or remove it"


def test_a_rhythm_carries_over_only_to_a_protocol_that_tracks_one(folders):
    carries = {"followup": {"carries": ["focus", "rhythm"]}}
    faults = folders.protocol(changed(IPT, carries)).faults()
    assert faults == {"ipt.toml: followup.carries": "names rhythm: add the table [rhythm] that it needs, or remove it"}
    loaded = folders.protocol(changed(IPT, {"followup": {"carries": ["focus", "formulation"]}})).load().get("ipt")
    assert loaded.followup.carries == ("focus", "formulation")

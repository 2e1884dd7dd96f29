"""The table of notice types: the example of every type is valid, and a faulty table is refused with every fault."""

import asyncio
import json
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest

from ipt_workflow.api import openapi
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.ehr.notices import types
from ipt_workflow.errors import ProtocolInvalid
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.values.faults import validator_of, value_faults

SETTINGS = configuration.load({})
INSTRUMENTS = protocol_files.load_catalogue(SETTINGS.protocols, SETTINGS.instruments, KNOWN_RULES).instruments
TYPES = types.load(SETTINGS.notices, INSTRUMENTS)
TEXT = SETTINGS.notices.read_text(encoding="utf-8")
ISSUE = ("referral.received", "appointment.booked", "appointment.fulfilled", "appointment.missed", "appointment.cancelled",
         "measure.completed", "consent.given", "consent.withdrawn", "client.deceased", "client.merged", "clinician.changed")  # fmt: skip


def test_every_type_that_was_agreed_is_there():
    assert tuple(TYPES.by_name) == ISSUE


@pytest.mark.parametrize("name", ISSUE)
def test_an_example_fits_its_schema_and_is_read(name):
    notice = types.example(TYPES.by_name[name])
    jsonschema.Draft202012Validator.check_schema(TYPES.schemas[name])
    jsonschema.validate(notice, TYPES.schemas[name])
    assert TYPES.read(json.dumps(notice).encode()).type == name


def test_the_table_is_published_without_a_token(api):
    async def test(api):
        answer = await api.client.get("/v1/notices/types")
        assert [each["type"] for each in answer.json()["items"]] == list(ISSUE)
        document = (await api.client.get("/schema/openapi.json")).json()
        body = document["paths"]["/v1/ehr/notices/{source}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        named = body["discriminator"]["mapping"]
        assert list(named) == list(ISSUE)
        assert [each["$ref"] for each in body["oneOf"]] == list(named.values())
        shapes = [document["components"]["schemas"][each.rpartition("/")[2]] for each in named.values()]
        assert [openapi.plain(each["schema"]) for each in answer.json()["items"]] == shapes

    api(test)


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "notices.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProtocolInvalid) as caught:
        types.load(path, INSTRUMENTS)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    (
        ('type = "appointment.booked"', 'type = "referral.received"', "types[1].type"),
        ('trigger = "book_session"', 'trigger = "book"', "types[1].trigger"),
        ('trigger = "book_session"', 'trigger = "begin_<phase>"', "types[1].trigger"),
        ('trigger = "record_measure"', 'trigger = "sign_session"', "types[5].trigger"),
        ('to = ["data.scheduled_for"]', 'to = ["data.when"]', "types[1].fields[3].to"),
        ('values = ["5", "6"]', 'values = ["5", "8"]', "types[2].fields[5].values"),
        ('default = "5"', 'default = "3"', "types[2].fields[5].default"),
        ('{ name = "attendance", to = ["data.attendance"], values = ["2", "4"], required = true }', '{ name = "attendance", to = ["data.attendance"] }', "types[4].fields"),
        ('example = { client_ref = "EHR-4711", scope = "treatment"', 'example = { client_ref = "EHR-4711", scope = "all"', "types[6].example"),
        ('{ name = "who", to = ["data.who"] }', '{ name = "scope", to = ["data.who"] }', "types[6].fields[3].name"),
        ('does = "A session was held."', 'says = "A session was held."', "types[2].says"),
        ('handling = "apply"', 'handling = "maybe"', "types[0].handling"),
        ('instrument = "phq9@1"', 'instrument = "phq8@1"', "fhir.instruments[0].instrument"),
        ('"http://loinc.org|44260-8",', "", "fhir.instruments[0].items"),
        ('"http://loinc.org|LA6571-9" = 3', '"http://loinc.org|LA6571-9" = 4', "fhir.instruments[0].answers"),
        ('totals = ["http://loinc.org|70274-6"', 'totals = ["http://loinc.org|44261-6"', "fhir.instruments"),
        ('key = "fhir.measure_days_before"', 'key = "fhir.days"', "evidence[4].key"),
        ("[fhir]", "[fhir", ""),
    ),
)  # fmt: skip
def test_a_faulty_table_is_refused_and_says_where(tmp_path, old, new, where):
    assert old in TEXT
    found = faults(tmp_path, TEXT.replace(old, new, 1))
    assert [
        fault for fault in found if fault.startswith(f"notices.toml: {where}".rstrip()) or (not where and "notices.toml" in fault)
    ], found


def test_every_fault_is_named_at_once(tmp_path):
    text = TEXT.replace('trigger = "book_session"', 'trigger = "book"', 1).replace('"http://loinc.org|44260-8",', "", 1)
    assert len(faults(tmp_path, text)) >= 2


def test_a_service_with_a_faulty_table_does_not_start(settings, tmp_path):
    import shutil

    from ipt_workflow.api.app import Application

    shutil.copytree(SETTINGS.config_dir, tmp_path / "config")
    (tmp_path / "config" / "notices.toml").write_text(
        TEXT.replace('trigger = "book_session"', 'trigger = "book"'), encoding="utf-8"
    )
    other = settings.model_copy(update={"config_dir": tmp_path / "config"})

    async def start():
        async with Application(other).litestar.lifespan():
            pass

    with pytest.raises(BaseException) as caught:
        asyncio.run(start())
    assert re.search("notices.toml: types", "".join(map(str, flatten(caught.value))))


def flatten(error):
    return [each for inner in error.exceptions for each in flatten(inner)] if isinstance(error, BaseExceptionGroup) else [error]


ODD = (
    None,
    "",
    "x" * 300,
    0,
    -1,
    7,
    1.5,
    True,
    [],
    {},
    [1, None],
    ["x"],
    {"a": 1},
    "2026-01-05T09:00:00Z",
    "2026-01-05",
    "2026-01-05T09:00:00",
)


@pytest.mark.parametrize("kind", TYPES.by_name)
def test_the_decoder_accepts_what_the_schema_accepts(kind):
    whole, validator = types.example(TYPES.by_name[kind]), validator_of(TYPES.schemas[kind])
    names = TYPES.schemas[kind]["properties"]["data"]["properties"]
    changed = [{**whole, "data": {**whole["data"], name: odd}} for name in (*names, "more") for odd in ODD]
    changed += [{**whole, "data": {name: value for name, value in whole["data"].items() if name != left}} for left in whole["data"]]
    changed += [{**whole, name: odd} for name in ("type", "timestamp", "data", "more") for odd in ODD]
    changed += [{name: value for name, value in whole.items() if name != left} for left in whole]
    assert [each for each in changed if is_accepted(each, TYPES.shapes[kind]) == bool(value_faults(validator, each, ""))] == []


def is_accepted(value, shape) -> bool:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return False
    return True

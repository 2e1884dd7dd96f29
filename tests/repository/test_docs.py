"""What is in the code and not in the documentation fails here; so does documentation that is not true."""

import asyncio
import datetime as dt
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from support.pages import FENCE, ROOT, blocks, erase, page

from ipt_workflow import groups
from ipt_workflow.access import policy
from ipt_workflow.api.problems import PROBLEMS
from ipt_workflow.course import attention, transitions_table, triggers
from ipt_workflow.course.rules import ARTEFACTS, REGISTRY
from ipt_workflow.course.triggers import Command, Together
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.notices import outcomes
from ipt_workflow.ehr.notices.fhir_hooks import Entry, Report
from ipt_workflow.ehr.notices.inbox import Resolution
from ipt_workflow.ehr.notices.receipts import Receipt
from ipt_workflow.groups import bodies
from ipt_workflow.protocols import definition, instruments
from ipt_workflow.runtime import settings
from ipt_workflow.service import imports
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.service.writes import Opening
from ipt_workflow.store.schema import tables
from ipt_workflow.values import types

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SOURCE_KEY = re.compile(r"\b[FSIAZ]\d+\b")


def _script():
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    return _script()


def undocumented(names, name: str, shape: str = "`{}`") -> list[str]:
    text = page(name)
    return [each for each in names if shape.format(each) not in text]


# Generated parts


def test_generated_parts_are_what_the_code_says(script):
    assert [path.name for path in script.stale()] == [], "run python scripts/docs.py"


def test_every_generated_part_has_its_place_and_has_it_once(script):
    assert sorted(script.names_used()) == sorted(script.GENERATED)


def test_an_edited_table_is_found_and_rewriting_mends_it(script):
    text = page("roles.md")
    edited = text.replace("reads everything", "reads nothing")
    assert edited != text
    assert script.rewritten(edited) == text


def test_no_mark_is_left_open(script):
    for path in script.pages():
        text = path.read_text(encoding="utf-8")
        begun, ended = (len(re.findall(f"^<!-- {mark}", text, re.MULTILINE)) for mark in ("generated: ", "end -->"))
        assert begun == ended == len(script.MARKED.findall(text)), path.name


# Nothing is left out


def test_every_trigger_is_documented_with_its_data():
    assert undocumented([row.name for row in triggers.TABLE], "triggers.md", "### `{}`") == []
    assert undocumented([row.name for row in triggers.TABLE], "triggers.md", "| `{}` |") == []


def test_every_field_of_every_trigger_is_documented():
    fields = {name for row in triggers.TABLE for name in row.payload.__struct_fields__}
    text = page("triggers.md")
    assert [name for name in sorted(fields) if f"| `{name}` |" not in text and f"| `{name}[]` |" not in text] == []


def test_every_rule_is_documented():
    assert undocumented(REGISTRY, "rules.md", "| `{}` |") == []


def test_every_rule_of_groups_and_reason_for_leaving_one_is_documented():
    assert undocumented(groups.RULES, "groups.md", "| `{}` |") == []
    assert undocumented(get_args(bodies.LeaveReason), "groups.md") == []


def test_every_problem_type_is_documented():
    assert undocumented(PROBLEMS, "refusals.md", "| `/problems/{}` |") == []


def test_every_setting_is_documented():
    names = ["IPT_" + name.upper() for name in settings.Settings.model_fields]
    assert undocumented(names, "settings.md", "| `{}` |") == []


def test_every_command_is_documented(script):
    names = [path for path, _ in script.commands(script.typer.main.get_command(script.command_line), ("ipt-workflow",))]
    assert len(names) > 15
    assert undocumented(names, "command-line.md", "### `{}") == []


def test_every_audit_kind_is_documented():
    assert undocumented(["transition", *tables.AUDIT_KINDS], "audit.md", "| `{}` |") == []


def test_every_attention_kind_is_documented():
    assert undocumented(attention.KINDS, "counting.md", "| `{}` |") == []


def test_every_role_and_policy_question_is_documented():
    assert undocumented(get_args(triggers.Role), "roles.md", "| `{}` |") == []
    assert undocumented(policy.QUESTIONS, "roles.md", "| {} |") == []


def test_every_state_of_the_default_protocol_is_explained(script):
    assert (
        undocumented([state for state in transitions_table.states(script.IPT) if state != definition.NEW], "phases.md", "`{}`")
        == []
    )


def test_every_key_of_a_protocol_file_is_documented():
    p = definition
    tables = (
        p.ProtocolFile,
        p.ContractSpec,
        p.PhaseSpec,
        p.PhaseRule,
        p.SickRoleSpec,
        p.FocusSpec,
        p.MeasureSpec,
        p.SupervisionSpec,
        p.ConsentSpec,
        p.ParticipantsSpec,
        p.MediumSpec,
        p.RhythmSpec,
        p.ReviewSpec,
        p.FollowupSpec,
        p.GroupSpec,
        p.AttentionSpec,
        instruments.Evidence,
    )
    headings = {"contract": "[contract]", "phases": "[[phases]]", "sick_role": "[sick_role]", "focus": "[focus]"}
    headings |= {
        name: f"[{name}]"
        for name in ("supervision", "consent", "participants", "medium", "rhythm", "review", "followup", "group", "attention")
    }
    headings |= {"measures": "[[measures]]", "evidence": "[[evidence]]", "rules": "[[phases.rules]]"}
    keys = {headings.get(name, name) for table in tables for name in table.__struct_fields__}
    assert undocumented(sorted(keys), "protocols.md") == []


def test_every_artefact_and_confidence_is_documented():
    assert undocumented(ARTEFACTS, "protocols.md") == []
    assert undocumented(get_args(instruments.Confidence), "protocols.md") == []


def test_every_attendance_and_end_code_is_documented():
    assert undocumented(get_args(types.AttendanceCode), "counting.md", "| `{}` |") == []
    codes = {*get_args(types.EndedEarly), *get_args(types.NotTakenOn), "46"}
    assert undocumented(sorted(codes), "glossary.md", "| `{}` |") == []


def test_every_notice_type_is_documented(script):
    assert undocumented(script.NOTICES.by_name, "ehr.md", "| `{}` |") == []


def test_the_notice_that_is_shown_is_signed_as_we_verify_it():
    (example,) = [block for block in blocks("ehr.md", "sh") if "openssl" in block]
    key = signatures.mint_shared()
    printing = 'curl() { printf "%s\\n" "$@"; }\n'
    told = subprocess.run(
        ["sh", "-c", printing + example], env={**os.environ, "SECRET": key, "URL": "x"}, capture_output=True, text=True, check=True
    )
    lines = told.stdout.splitlines()
    headers = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("{"))
    body = lines[lines.index("-d") + 1]
    signatures.verify(headers, body.encode(), [signatures.read_key(key)], dt.datetime.now(dt.UTC))
    assert "/v1/ehr/notices/north" in lines[3]


def test_resolutions_that_are_shown_are_resolutions():
    (shown,) = blocks("ehr.md", "json")
    assert [msgspec.json.decode(line, type=Resolution).action for line in shown.splitlines()] == ["retry", "correct", "dismiss"]


def test_the_answers_in_fhir_that_are_shown_are_those_that_are_given():
    site = Site(canonical="urn:ipt-workflow", patient_system="", organisation="")
    waiting = Receipt(id="01a22b3c-7828-741a-8263-939d926e55a6", status="waiting")
    ignored = Entry(resource="Medication/M1", status="ignored", id=None, reason="kind")
    given = [
        outcomes.outcome(site, waiting),
        outcomes.responses(site, Report(id=None, status="ignored", kind="batch", entries=(ignored,))),
    ]
    assert [json.loads(text) for text in blocks("ehr.md", "fhir")] == [json.loads(msgspec.json.encode(each)) for each in given]


def test_every_reason_to_ignore_a_message_is_documented():
    documented = re.findall(r"^\| `(\w+)` \|", page("ehr.md").partition("| reason | means |")[2].partition("\n\n")[0], re.MULTILINE)
    assert set(documented) == set(outcomes.REASONS)


def test_every_page_is_reached_from_the_index():
    index = page("README.md")
    names = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md")) if path.name != "README.md"]
    assert [name for name in names if f"({name}" not in index] == []


# Sources


def test_every_source_of_a_rule_is_explained():
    text = page("rules.md").partition("## Sources")[2]
    keys = {key for rule in REGISTRY.values() for key in SOURCE_KEY.findall(rule.source)}
    sections = {match for rule in REGISTRY.values() for match in re.findall(r"domain \d\.\d", rule.source)}
    assert [key for key in sorted(keys | sections) if f"| {key} |" not in text] == []


def test_every_publication_that_is_named_is_listed():
    listed = page("protocols.md").partition("## Sources")[2]
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, *sorted((ROOT / "config").rglob("*.toml")))]
    named = {key for text in texts for key in re.findall(r"\bF\d+\b", text)} - {"F6"}
    assert [key for key in sorted(named) if f"| {key} |" not in listed] == []


# Links


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path):
    lost = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


# Examples


def test_json_examples_are_json():
    for path in PAGES:
        for language, text in FENCE.findall(path.read_text(encoding="utf-8")):
            for each in text.splitlines() if path.name in {"import.md", "ehr.md"} else [text]:
                assert language != "json" or json.loads(each)


def test_the_commands_shown_are_commands_the_service_would_read():
    told = [text for name in ("refusals.md", "time.md") for text in blocks(name, "json")]
    shown = [json.loads(text) for text in told if text.startswith('{"trigger"')]
    for text in blocks("http.md", "http"):
        head, _, body = text.partition("\n\n")
        told = json.loads(body)
        single = Opening if head.startswith("POST /v1/courses\n") else Command
        commands = msgspec.convert(told, Together).together if "together" in told else (msgspec.convert(told, single),)
        assert commands
    assert len(shown) >= 4
    for command in shown:
        row = triggers.BY_NAME.get(command["trigger"], triggers.PATTERN)
        msgspec.convert(command, Command)
        msgspec.convert(command["data"], row.payload)


@pytest.mark.parametrize("chapters", (slice(None), slice(2, 3)), ids=("whole", "the_group_alone"))
def test_the_import_examples_are_imported_and_known_the_second_time(settings, chapters):
    lines = "".join(blocks("import.md", "json")[chapters]).encode().splitlines()

    async def twice():
        clinic = await open_clinic(settings)
        try:
            rehearsed = await imports.run(clinic, lines, dry_run=True)
            return rehearsed, await imports.run(clinic, lines), await imports.run(clinic, lines)
        finally:
            await clinic.installation.close()

    rehearsed, first, second = asyncio.run(twice())
    assert (rehearsed.accepted, rehearsed.refused) == (len(lines), [])
    assert (first.accepted, first.known, first.refused) == (len(lines), 0, [])
    assert (second.accepted, second.known, second.refused) == (0, len(lines), [])


def by_hand(history: dict, folder: Path) -> subprocess.CompletedProcess:
    """Runs the example of docs/audit.md on a history."""
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    (example,) = blocks("audit.md", "python")
    return subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_chain_is_verified_by_hand_and_erasing_a_client_leaves_it_whole(api, settings, tmp_path):
    async def walk(api):
        course = (await api.open("EHR-4711"))["id"]
        await api.walk(course, "record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_timeline")
        history = (await api.get(f"/v1/courses/{course}/transitions?limit=200", "auditor")).json()
        head = (await api.get(f"/v1/courses/{course}", "auditor")).json()["head"]
        found = by_hand(history, tmp_path)
        assert (found.returncode, found.stdout.split()[-1:]) == (0, [head]), found.stderr

        history["items"][5]["data"]["diagnosis"] = "Another"
        assert "AssertionError: 6" in by_hand(history, tmp_path).stderr

        erase(settings.database_url)
        erased = (await api.get(f"/v1/courses/{course}/transitions?limit=200", "auditor")).json()
        assert all(entry["erased"] and entry["salt"] is None for entry in erased["items"])
        assert by_hand(erased, tmp_path).stdout.split()[-1:] == [head]
        verified = (await api.get("/v1/audit/verify", "auditor")).json()
        assert (verified["ok"], verified["erased"]) == (True, len(erased["items"]))
        assert (await api.get(f"/v1/courses/{course}", "auditor")).json()["client_ref"] is None

    api(walk)

"""A client's export: everything about them, nothing about anybody else, and an auditor's verifier accepts it without the service."""

import csv
import datetime as dt
import hashlib
import io
import json
import zipfile

import msgspec
import pytest
from cryptography.fernet import Fernet
from service.privacy import test_erasures
from support import checkpoints, databases, marks, service_walk
from support.disclosures import walk as disclose
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.ehr import client_exports
from ipt_workflow.ehr.client_exports import ClientExportQuery, ClientExports
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, PersonNeeded, ReauthenticationNeeded
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.service.audit.log_state import LogState, SignedSize
from ipt_workflow.service.privacy import summary
from ipt_workflow.service.privacy.erasures import Erasures
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import audit
from ipt_workflow.store.audit import NEWEST, AuditFilters
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema import tables

ASKED = ClientExportQuery(client_ref="EHR-1", ground="gdpr-15")
OFFICER = Principal(person="admin-1", role="admin", via="cli")
OWNER = msgspec.structs.replace(THERAPIST, via="cli")
POLICY = "".join(f"log {key.key.vkey()}\n" for key in checkpoints.KEYS) + "quorum none\n"


async def with_a_history(clinic) -> list[str]:
    """Two courses of a client, one of another client, reads and a disclosure."""
    first = await service_walk.open_course(clinic)
    await service_walk.walk(clinic, first, "record_consent", "start", "record_measure", "record_session", "end_early")
    second = await service_walk.open_course(clinic)
    other = await service_walk.open_course(clinic, "EHR-2")
    await CourseReads(clinic).course(SUPERVISOR, first)
    await CourseReads(clinic).caseload(SUPERVISOR, Filters(), "", 10)
    await disclose(clinic, first)
    return [first, second, other]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    found = []

    async def fill(clinic):
        found.extend(await with_a_history(clinic))

    return service_walk.database(tmp_path_factory.mktemp("exports"), fill), found


@pytest.fixture
def settings(filled, tmp_path):
    return databases.copy(filled[0], tmp_path)


def later(settings, work):
    """Runs work on a clinic whose clock is behind all that was recorded."""
    return service_walk.with_clinic(settings, work, VirtualClock(service_walk.START + dt.timedelta(days=30)))


async def exported(clinic, query=ASKED, principal=OWNER) -> bytes:
    file = io.BytesIO()
    await ClientExports(clinic).write(principal, lambda: query, file)
    return file.getvalue()


def files(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def verified(tmp_path, content: bytes, capsys) -> tuple[int, str]:
    (tmp_path / "client.zip").write_bytes(content)
    (tmp_path / "policy").write_text(POLICY)
    code = ipt_verify.main(["--policy", str(tmp_path / "policy"), str(tmp_path / "client.zip")])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("on", ["sqlite", "postgresql"])
def test_the_verifier_accepts_it_on_both_databases(on, request, tmp_path, capsys):
    settings = databases.empty(tmp_path, request.getfixturevalue("postgres") if on == "postgresql" else None)

    async def test(clinic):
        await with_a_history(clinic)
        await checkpoints.sign(clinic)
        return await exported(clinic)

    content = later(settings, test)
    code, said = verified(tmp_path, content, capsys)
    assert code == 0, said
    assert "Courses: 2." in said
    found = files(content)
    assert json.loads(found["manifest.json"])["kind"] == "client"
    assert sum(name.startswith("proofs/") for name in found) == 2
    assert b"\n" in found["records.ndjson"]


def test_what_was_changed_after_it_was_made_is_found(settings, tmp_path, capsys):
    async def test(clinic):
        await checkpoints.sign(clinic)
        return await exported(clinic)

    content = later(settings, test)
    found = files(content)
    found["entries.ndjson"] = found["entries.ndjson"].replace(b"record_session", b"record_sessiox")
    manifest = json.loads(found["manifest.json"])
    manifest["files"]["entries.ndjson"] = hashlib.sha256(found["entries.ndjson"]).hexdigest()
    found["manifest.json"] = json.dumps(manifest).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, each in found.items():
            archive.writestr(name, each)
    code, said = verified(tmp_path, packed.getvalue(), capsys)
    assert code == 1, said


def test_it_holds_the_whole_journal_with_texts_and_what_the_reports_say(filled, settings):
    first, second, _ = filled[1]

    async def test(clinic):
        await checkpoints.sign(clinic)
        return files(await exported(clinic)), [*await clinic.entries(first), *await clinic.entries(second)]

    found, entries = later(settings, test)
    rows = [json.loads(line) for line in found["entries.ndjson"].splitlines()]
    assert [(each["canonical"], each["salt"], each["sealed"]) for each in rows] == [
        (each.canonical.decode(), each.salt, each.sealed.decode()) for each in entries
    ]
    accesses = list(csv.DictReader(io.StringIO(found["access-log.csv"].decode())))
    assert {each["person"] for each in accesses} == {"therapist-1", "supervisor-1"}
    assert ("export", "client gdpr-15", "PATRQT") in {(each["kind"], each["action"], each["purpose"]) for each in accesses}
    disclosures = list(csv.DictReader(io.StringIO(found["disclosures.csv"].decode())))
    assert {each["recipient"] for each in disclosures} == {"The family court", "the client"}
    bundle = json.loads(found["fhir-everything.json"])
    assert {each["resource"]["id"] for each in bundle["entry"] if each["resource"]["resourceType"] == "EpisodeOfCare"} == {
        first,
        second,
    }
    assert set(found) >= {"summary.html", "access-report.csv", "policy", "checkpoint", "manifest.json"}


def test_nothing_in_it_names_another_client_or_their_course(filled, settings):
    other = filled[1][2]

    async def test(clinic):
        await checkpoints.sign(clinic)
        return files(await exported(clinic))

    for name, content in later(settings, test).items():
        assert other.encode() not in content, name
        assert b"EHR-2" not in content, name


def test_entries_of_which_no_checkpoint_knows_are_in_a_file_of_their_own(filled, settings, tmp_path, capsys):
    second = filled[1][1]

    async def test(clinic):
        await checkpoints.sign(clinic)
        await service_walk.walk(clinic, second, "record_consent")
        plan = await ClientExports(clinic).preview(OWNER, lambda: ASKED)
        return plan, await exported(clinic)

    plan, content = later(settings, test)
    assert plan.unproved == 1
    (row,) = [json.loads(line) for line in files(content)["entries-after-checkpoint.ndjson"].splitlines()]
    assert (row["course"], row["seq"]) == (second, 2)
    assert verified(tmp_path, content, capsys)[0] == 0


@pytest.mark.parametrize("state", ["whole", "put back to an older one"])
def test_the_log_is_signed_for_it_unless_the_database_is_older_than_what_was_signed(filled, settings, tmp_path, capsys, state):
    keys = tmp_path / "log.keys"
    keys.write_text(log_keys.new_file(), encoding="utf-8")
    settings = settings.model_copy(update={"log_key_file": str(keys)})

    async def test(clinic):
        await exported(clinic)
        await service_walk.walk(clinic, filled[1][1], "record_consent")
        origin = (await Checkpoints(clinic).show()).origin
        if state != "whole":
            LogState(keys).know(origin, SignedSize(10_000, "root"))
        return await exported(clinic)

    content = later(settings, test)
    assert ("entries-after-checkpoint.ndjson" in files(content)) is (state != "whole")
    (tmp_path / "client.zip").write_bytes(content)
    assert ipt_verify.main([str(tmp_path / "client.zip")]) == ipt_verify.DOUBTFUL  # whose keys they are, a person must judge
    assert "Compare them with what you got in another way" in capsys.readouterr().out


def test_texts_that_are_kept_under_a_key_of_the_client_are_opened_and_erased_ones_stay_away(tmp_path, capsys):
    settings = databases.empty(tmp_path).model_copy(update={"secret_keys": Fernet.generate_key().decode()})

    async def test(clinic):
        await with_a_history(clinic)
        await checkpoints.sign(clinic)
        before = await exported(clinic)
        course = (await ClientExports(clinic).preview(OWNER, lambda: ASKED)).courses[0]
        await Erasures(clinic).erase(OFFICER, lambda: NewErasure(client_ref="EHR-1", ground="objection"))
        await checkpoints.sign(clinic)
        return before, await exported(clinic, ClientExportQuery(course=course, ground="other"))

    before, after = service_walk.with_clinic(settings, test)
    assert b"General practitioner" in files(before)["entries.ndjson"]
    assert verified(tmp_path, before, capsys)[0] == 0
    code, said = verified(tmp_path, after, capsys)
    assert (code, "Entries: 7 (without text: 7)." in said) == (0, True), said
    found = files(after)
    assert not any(word in content for content in found.values() for word in (b"General practitioner", b"EHR-1", b"family court"))
    assert "The text was erased." in found["summary.html"].decode()


def test_without_a_signed_log_the_data_come_without_proofs_and_the_page_says_so(settings):
    found = files(later(settings, exported))
    assert "checkpoint" not in found
    assert found["entries.ndjson"] == b""
    assert len(found["entries-after-checkpoint.ndjson"].splitlines()) > 5
    assert "is not signed" in found["summary.html"].decode()


def test_the_page_for_people_stands_alone_and_speaks_their_language(settings):
    async def test(clinic):
        german = msgspec.structs.replace(ASKED, language="de")
        return [files(await exported(clinic, query))["summary.html"].decode() for query in (ASKED, german)]

    english, german = later(settings, test)
    assert '<html lang="en">' in english
    assert "Wer mit Ihren Daten zu tun hatte" in german
    for page in (english, german):
        assert "General practitioner" in page
        assert not any(each in page for each in ("<script", "http:", "https:", "src="))


def test_every_phrase_is_there_in_every_language():
    english, german = (summary.phrases(each) for each in summary.LANGUAGES)
    assert set(english) == set(german)
    assert [name for name in english if english[name] == german[name]] == []


def test_what_a_client_wrote_is_text_in_the_page(tmp_path):
    async def test(clinic):
        await service_walk.open_course(clinic, "EHR-<script>")
        return files(await exported(clinic, msgspec.structs.replace(ASKED, client_ref="EHR-<script>")))["summary.html"].decode()

    page = later(databases.empty(tmp_path), test)
    assert "<script" not in page
    assert "EHR-&lt;script&gt;" in page


def test_a_preview_says_what_it_would_hold_and_exports_nothing(filled, settings):
    async def test(clinic):
        note = await checkpoints.sign(clinic)
        plan = await ClientExports(clinic).preview(OWNER, lambda: ASKED)
        kinds = await audit.page(clinic.database, clinic.organisation, AuditFilters(kind="export"), NEWEST, 10, newest_first=True)
        return note, plan, kinds

    note, plan, kinds = later(settings, test)
    assert plan.courses == tuple(filled[1][:2])
    assert (plan.erased, plan.unproved, plan.checkpoint) == (0, 0, ipt_verify.read_checkpoint(note.text).size)
    assert kinds == []


def test_only_a_person_who_just_signed_in_and_sees_the_client_gets_it(filled, settings):
    first = filled[1][0]

    async def test(clinic):
        now = clinic.clock.now()
        stale = msgspec.structs.replace(THERAPIST, session="s", authenticated_at=now.replace(year=2025))
        for principal, error in (
            (THERAPIST, PersonNeeded),
            (stale, ReauthenticationNeeded),
            (Principal(person="therapist-2", role="therapist", via="cli"), NotFound),
            (Principal(person="admin-1", role="admin", via="cli"), Forbidden),
            (Principal(person="ehr-1", role="ehr", via="cli"), Forbidden),
        ):
            with pytest.raises(error):
                await exported(clinic, principal=principal)
        with pytest.raises(CommandInvalid):
            await exported(clinic, ClientExportQuery(ground="gdpr-15"))
        clinic.access_rules = AccessRules(auditor_text="never")
        with pytest.raises(Forbidden, match="sealed text"):
            await exported(clinic, principal=msgspec.structs.replace(AUDITOR, via="cli"))
        records = await audit.page(
            clinic.database, clinic.organisation, AuditFilters(kind="refusal"), NEWEST, 20, newest_first=True
        )
        assert {each.action for each in records} == {client_exports.QUESTION}
        assert {each.rules for each in records} == {("sign_in",), ("hidden",), ("role",)}
        assert first in records[0].courses

    later(settings, test)


@pytest.mark.parametrize("on", ["sqlite", "postgresql"])
def test_what_else_was_written_about_the_client_is_there_too(on, request, tmp_path):
    settings = databases.empty(tmp_path, request.getfixturevalue("postgres") if on == "postgresql" else None)

    async def test(clinic):
        await test_erasures.fill(clinic, "EHR-1", "a")
        await test_erasures.fill(clinic, "EHR-22", "b")
        await clinic.database.write(lambda connection: connection.execute(tables.event.delete()))  # they stand at made-up positions
        await marks.mark(clinic, note=test_erasures.WORDS)
        texts = files(await exported(clinic))["other-texts.ndjson"]
        return [json.loads(line) for line in texts.splitlines()]

    texts = service_walk.with_clinic(settings, test)
    about = {each["kind"]: each for each in texts if test_erasures.WORDS in json.dumps(each["content"])}
    assert set(about) == {
        "emergency access",
        "mark",
        "unmasking",
        "restriction of a course",
        "proposal",
        "message that waits",
    }
    assert about["emergency access"]["written_by"] == "therapist-2"
    assert [each["content"] for each in texts if each["kind"] == "label"] == [{"text": "Ms Abel"}]
    assert len(texts) == 8

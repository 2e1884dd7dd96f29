"""Erasure, on both databases: of a client, whole or to the text of one entry, with a dry run, a register, and what remains and why."""

import datetime as dt
import hashlib

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk
from support.service_walk import START, SUPERVISOR, THERAPIST

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewUnmasking
from ipt_workflow.access.erasure import KINDS, NewErasure
from ipt_workflow.access.marks import MarkEnd, NewMark
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, ReauthenticationNeeded, RecordHeld
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.client_labels import ClientLabels, NewClientLabel
from ipt_workflow.service.access.masks import Unmaskings
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.drafts import Drafts
from ipt_workflow.service.privacy.erasures import Erasures, RegisterLine
from ipt_workflow.service.privacy.marks import Marks
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import erasures as stored
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema import tables

OFFICER = Principal(person="admin-1", role="admin", via="cli")
SUPERVISOR_HERE = Principal(person="supervisor-1", role="supervisor", via="cli")
AUDITOR = Principal(person="auditor-1", role="auditor", via="cli")
REF, WORDS = "EHR-4711", "Her mother died in March."
HERE = "consent_withdrawn"


def notice(name: str, *, client: str | None, status: str, body: str | None, kind: str = "unreadable") -> dict:
    nothing = dict.fromkeys(column.name for column in tables.notice.c)
    row = {"organisation": "default", "id": name, "source_id": "north", "key": f"key-{name}", "body_hash": "digest", "type": kind}
    kept = {"received_at": START, "status": status, "risk": False, "client_id": client, "body": body.encode() if body else None}
    return nothing | row | kept | {"part": "", "void": False, "awaits_course": False, "content_digest": "digest"}


async def insert(clinic, table, *rows: dict) -> None:
    await clinic.database.write(lambda connection: connection.execute(table.insert(), list(rows)))


async def fill(clinic, ref: str, tag: str) -> str:
    """A client of whom there is something of every kind; `tag` is in its names."""
    course = await service_walk.open_course(clinic, ref)
    await service_walk.walk(clinic, course, "record_consent", "start")
    key = IdempotencyKey(f"scope {tag}", hashlib.sha256(b"body").hexdigest())
    await service_walk.fire(clinic, course, Command("note", {"text": WORDS}), key=key)
    waiver = Command("waive_sick_role", {}, reason=WORDS)
    await Proposals(clinic).propose(
        THERAPIST, course, Write(decode=lambda: (waiver,), triggers=("waive_sick_role",), version_required=False)
    )
    await Drafts(clinic).save(THERAPIST, course, "note", [("text", WORDS)])
    await ClientLabels(clinic).give(THERAPIST, course, lambda: NewClientLabel(label="Ms Abel"))
    on_duty = Principal(person="therapist-2", role="therapist", via="cli")
    await EmergencyAccesses(clinic).start(on_duty, lambda: NewEmergencyAccess(client_ref=ref, code="ETREAT", reason=WORDS))
    clinic.access_rules = AccessRules(auditor_text="unmask")
    await Unmaskings(clinic).unmask(AUDITOR, lambda: NewUnmasking(course=course, reason=WORDS))
    await Restrictions(clinic).restrict(SUPERVISOR, course, lambda: NewRestriction(people=("supervisor-1",), reason=WORDS))
    (client,) = (
        await clinic.database.read(lambda c: c.execute(tables.course.select().where(tables.course.c.id == course)))
    ).mappings()
    waits = notice(f"waits {tag}", client=client["client_id"], status="waiting", body=WORDS, kind="client.deceased")
    group = notice(f"group {tag}", client=client["client_id"], status="waiting", body=WORDS, kind="group.session")
    faulty = notice(f"faulty {tag}", client=None, status="waiting", body=f'{{"data": {{"client_ref": "{ref}", "items": [9]}}}}')
    await insert(clinic, tables.notice, waits, group | {"source_id": "group"}, faulty)
    await insert(
        clinic,
        tables.event,
        dict.fromkeys(each.name for each in tables.event.c)
        | {
            "organisation": "default",
            "position": len(ref),
            "id": tag,
            "kind": "entry",
            "course_id": course,
            "seq": 1,
            "created_at": START,
        },
    )
    await insert(
        clinic,
        tables.delivery,
        dict.fromkeys(each.name for each in tables.delivery.c)
        | {
            "organisation": "default",
            "id": tag,
            "subscription_id": "s",
            "position": len(ref),
            "lane": course,
            "status": "waiting",
            "attempts": 0,
            "next_at": START,
        },
    )
    return course


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def both(clinic):
        ids.extend([await fill(clinic, REF, "a"), await fill(clinic, "EHR-9", "b")])
        await insert(clinic, tables.notice, notice("settled", client=None, status="dismissed", body=None))

    return service_walk.database(tmp_path_factory.mktemp("erasures"), both, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, course, other)`."""
    settings, ids = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, *ids))


async def erase(clinic, *, by: Principal = OFFICER, dry_run: bool = False, **named):
    new = NewErasure(ground=HERE, **(named or {"client_ref": REF}))
    return await Erasures(clinic).erase(by, lambda: new, dry_run=dry_run)


async def everything(clinic) -> dict[str, list[dict]]:
    """All that is stored, by table."""
    return await clinic.database.read(
        lambda connection: {
            name: [dict(row) for row in connection.execute(table.select().order_by(*table.primary_key.columns)).mappings()]
            for name, table in tables.METADATA.tables.items()
        }
    )


def test_a_dry_run_says_what_an_erasure_removes_and_removes_nothing(clinic):
    async def test(clinic, course, _other):
        before = await everything(clinic)
        would = await erase(clinic, dry_run=True)
        after = await everything(clinic)
        assert {name for name in before if before[name] != after[name]} <= {"audit_event", "audit_subject", "log_outbox"}
        did = await erase(clinic)
        assert (would.dry_run, did.dry_run, would.id) == (True, False, None)
        assert (would.removed, would.remains) == (did.removed, did.remains)
        assert set(did.removed) == set(KINDS) - {"keys"}
        assert did.removed["entry_texts"] == tuple(f"{course} {seq}" for seq in (1, 2, 3, 4))
        assert did.removed["notices"] == ("faulty a", "waits a")

    clinic(test)


def test_nothing_of_the_client_is_left_and_everything_of_others(clinic):
    async def test(clinic, course, other):
        before = await everything(clinic)
        did = await erase(clinic)
        after = await everything(clinic)
        for name in ("entry_data", "proposal", "draft", "restriction"):
            assert [row for row in after[name] if row["course_id"] != course] == [
                row for row in before[name] if row["course_id"] != course
            ]
            texts = ("salt", "sealed", "body", "comment", "reason")
            assert not [row for row in after[name] if row["course_id"] == course and any(row.get(text) for text in texts)]
        left = repr({name: after[name] for name in after if name != "audit_event"})
        assert left.count(WORDS) * 2 == repr(before).count(WORDS)
        assert REF not in left
        assert [row["ref"] for row in after["client"]] == [None, "EHR-9"]
        statuses = {row["id"]: row["status"] for row in after["delivery"]}
        assert statuses == {"a": "cancelled", "b": "waiting"}
        assert {row["id"]: (row["body"], row["status"]) for row in after["notice"] if row["id"].endswith(" a")} == dict.fromkeys(
            ("faulty a", "group a", "waits a"), (None, "dismissed")
        )
        assert [row["body"] is None for row in after["notice"] if row["id"].endswith(" b")] == [False] * 3
        assert did.client == before["client"][0]["id"]
        assert other not in repr(did)

    clinic(test)


def test_no_digest_is_left_that_could_be_about_the_client(clinic):
    async def test(clinic, course, _other):
        await erase(clinic)
        after = await everything(clinic)
        assert [(row["course_id"] == course, row["body"] == "") for row in after["idempotency"]] in (
            [(True, True), (False, False)], [(False, False), (True, True)]
        )  # fmt: skip
        (settled,) = [row for row in after["notice"] if row["id"] == "settled"]
        assert (settled["body_hash"], settled["content_digest"], settled["key"]) == ("", None, "settled")

    clinic(test)


def test_the_journal_still_proves_and_the_course_goes_on(clinic):
    async def test(clinic, course, _other):
        await erase(clinic)
        found = await verification.verify(clinic)
        assert (found.ok, found.erased) == (True, 4)
        await Restrictions(clinic).lift(SUPERVISOR, course)
        await service_walk.fire(clinic, course, Command("note", {"text": "She came again."}))
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_it_is_written_to_the_register_and_recorded_with_its_ground(clinic):
    async def test(clinic, course, _other):
        did = await erase(clinic)
        assert await Erasures(clinic).page(AUDITOR, "", 10) == [did]
        assert await Erasures(clinic).one(AUDITOR, did.id) == did
        assert (did.ground, did.person, did.via, did.counts["entry_texts"]) == (HERE, "admin-1", "cli", 4)
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="access", course=course), Position(), 50)
        (record,) = [each for each in records if each.action == "client erased"]
        assert (record.rules, record.actor.person, record.courses) == ((HERE,), "admin-1", (course,))
        with pytest.raises(NotFound):
            await Erasures(clinic).one(AUDITOR, "\x00")

    clinic(test)


def test_it_says_what_remains_and_that_shredding_was_not_possible(clinic):
    async def test(clinic, _course, _other):
        remains = {each.kind: each.why for each in (await erase(clinic)).remains}
        assert {"structure", "records", "copies", "exports"} <= set(remains)
        assert "Shredding was not possible for 4 texts" in remains["unsealed"]
        assert "VACUUM" in (remains.get("free_pages") or remains["old_rows"])
        assert "shredded" not in remains

    clinic(test)


def test_the_text_of_one_entry_goes_alone(clinic):
    async def test(clinic, course, _other):
        await Restrictions(clinic).lift(SUPERVISOR, course)
        await service_walk.fire(
            clinic, course, Command("amend", {"supersedes": 4, "data": {"text": "In April."}}, reason="A slip.")
        )
        before = await everything(clinic)
        did = await erase(clinic, course=course, seq=4)
        after = await everything(clinic)
        assert did.removed == {"entry_texts": (f"{course} 4",), "digests": ("request",)}
        emptied = [row["seq"] for row in after["entry_data"] if row["course_id"] == course and row["sealed"] is None]
        assert emptied == [4]
        assert after["client"] == before["client"]
        remains = {each.kind: each.why for each in did.remains}
        assert remains["other_entries"].endswith(": 5. Erase them too if they say the same.")
        assert "Shredding was not possible" in remains["one_key"]
        assert (await verification.verify(clinic)).erased == 1

    clinic(test)


def test_what_there_is_not_cannot_be_erased(clinic):
    async def test(clinic, course, _other):
        for named in (
            {"client_ref": "EHR-unknown"},
            {"course": course, "seq": 99},
            {"course": "none", "seq": 1},
            {"course": "\x00", "seq": 1},
        ):
            with pytest.raises(NotFound):
                await erase(clinic, **named)
        for named in ({"course": course}, {"seq": 1}, {"course": course, "seq": 1, "client_ref": REF}):
            with pytest.raises(CommandInvalid):
                await erase(clinic, **named)
        with pytest.raises(CommandInvalid):
            await Erasures(clinic).erase(OFFICER, lambda: NewErasure(ground=HERE))
        await erase(clinic)
        with pytest.raises(NotFound):
            await erase(clinic)

    clinic(test)


def test_a_hold_blocks_it_and_is_named(clinic):
    async def test(clinic, _course, other):
        new = NewMark(kind="hold", client_ref=REF, ground="litigation", note=WORDS)
        hold = await Marks(clinic).set(SUPERVISOR_HERE, lambda: new)
        for dry_run in (True, False):
            with pytest.raises(RecordHeld, match="litigation"):
                await erase(clinic, dry_run=dry_run)
        await erase(clinic, course=other, seq=1)
        await Marks(clinic).end(SUPERVISOR_HERE, hold.id, MarkEnd)
        assert "access_texts" in (await erase(clinic)).removed

    clinic(test)


def test_it_takes_an_administrator_or_supervisor_who_has_just_signed_in(clinic):
    async def test(clinic, _course, _other):
        for who in (THERAPIST, AUDITOR):
            with pytest.raises(Forbidden):
                await erase(clinic, by=who)
        hour_ago = clinic.clock.now() - dt.timedelta(hours=1)
        signed_in = Principal(person="admin-1", role="admin", via="web", session="s", authenticated_at=hour_ago)
        with pytest.raises(ReauthenticationNeeded):
            await erase(clinic, by=signed_in)
        await erase(clinic, by=msgspec.structs.replace(signed_in, authenticated_at=clinic.clock.now()))

    clinic(test)


def test_after_a_restore_the_register_is_repeated(made, tmp_path):
    """An older state is restored, and beside it the register, which is kept apart."""
    settings, (course, _) = made

    async def erased(clinic):
        return await erase(clinic)

    (tmp_path / "newer").mkdir()
    line = service_walk.with_clinic(databases.copy(settings, tmp_path / "newer"), erased)
    (tmp_path / "older").mkdir()
    older = databases.copy(settings, tmp_path / "older")

    async def repeated(clinic):
        kept = RegisterLine(id=line.id, client=line.client, course=None, seq=None, ground=HERE)
        unknown = RegisterLine(id="x", client="nobody", course=None, seq=None, ground=HERE)
        (again,) = await Erasures(clinic).again(OFFICER, lambda: (unknown, kept))
        assert (again.again_of, again.removed, again.ground) == (line.id, line.removed, HERE)
        assert await Erasures(clinic).again(OFFICER, lambda: (unknown, kept)) == []
        assert await Erasures(clinic).again(OFFICER, tuple) == []
        assert {row["course_id"] == course for row in (await everything(clinic))["entry_data"] if row["sealed"] is None} == {True}

    service_walk.with_clinic(older, repeated)


# Columns of tables about clients that may hold words, and are left: each with why.
STRUCTURE = {
    "course.snapshot": "the fold, which holds no sealed text",
    "entry.canonical": "the hashed bytes, which hold that a text was given",
    "erasure.removed": "names of what went",
    "erasure.remains": "what remains",
    "group_session.told": "by course, the attendance",
    "retention_decision.counts": "how much went",
    "retention_decision.policies": "names of policies",
}


def test_every_column_about_clients_that_may_hold_words_is_erased_or_known_to_hold_none(clinic):
    async def test(clinic, course, _other):
        of = stored.ErasedSubject(client="c", ref="r", courses=(course,))
        emptied = {
            f"{part.table.name}.{name}"
            for part in stored.parts("default", of, [], clinic.clock.now())
            for name in (part.changes if part.changes is not None else part.table.c.keys())
        }
        about = {
            f"{table.name}.{column.name}"
            for table in tables.METADATA.tables.values()
            if {"course_id", "client_id"} & {*table.c.keys()} or table.name in {"client", "course", "access_text", "group_session"}
            for column in table.c
            if isinstance(column.type, sa.LargeBinary)
            or (getattr(column.type, "length", None) or 0) > 255
            or isinstance(column.type, sa.Text)
        }
        assert about - emptied == set(STRUCTURE) | {"verification.fault"}

    clinic(test)

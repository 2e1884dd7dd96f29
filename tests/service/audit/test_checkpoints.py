"""Checkpoints of the log: signed by keys apart from the database, never two for one size, and none of a database that was put back."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import checkpoints as service_checkpoints
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints, LogRefused
from ipt_workflow.service.audit.log_keys import KeyFileInvalid
from ipt_workflow.service.audit.log_state import LogState, LogStateInvalid, SignedSize
from ipt_workflow.store import checkpoints as stored
from ipt_workflow.store import log
from ipt_workflow.store.schema import tables

NOTE = Command("note", {"text": "She called."})
OPERATOR = Principal(person="operator:root", role="admin", via="cli")
ORIGIN = "ipt-workflow/log/default"


class Died(BaseException):
    """Stands for kill -9: nothing that comes after it is done."""


@pytest.fixture
def settings(server, tmp_path) -> Settings:
    (tmp_path / "log.keys").write_text(log_keys.new_file())
    return databases.empty(tmp_path, server).model_copy(update={"log_key_file": str(tmp_path / "log.keys")})


def scene(settings: Settings, test) -> None:
    async def inside() -> None:
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            await test(clinic)

    asyncio.run(inside())


def state_of(settings: Settings) -> LogState:
    return LogState(Path(settings.log_key_file))


async def grow(clinic, course: str | None = None) -> str:
    course = course or await service_walk.open_course(clinic)
    await service_walk.fire(clinic, course, NOTE)
    await fan_out.bring_up_to_date(clinic)
    return course


async def rows(clinic, table):
    return [row._mapping for row in await clinic.database.read(lambda connection: connection.execute(sa.select(table)).all())]


def keys_of(settings: Settings, origin: str = ORIGIN) -> list[ipt_verify.Key]:
    return [each.key for each in log_keys.of_log(Path(settings.log_key_file).read_text(), origin)]


def holds(settings: Settings, note: str, origin: str = ORIGIN) -> bool:
    ed25519, *_ = keys_of(settings, origin)
    return ipt_verify.holds(ed25519, ipt_verify.read_note(note)) is True


def test_a_checkpoint_has_the_root_of_the_log_and_a_signature_by_each_key(settings):
    async def test(clinic):
        await grow(clinic)
        signed = await Checkpoints(clinic).sign()
        size = await clinic.read(log.size)
        note = ipt_verify.read_note(signed.note)
        assert ipt_verify.read_checkpoint(note.text) == ipt_verify.Checkpoint(ORIGIN, size, await clinic.read(log.root, size))
        assert [each.key_id for each in note.signatures] == [each.id for each in keys_of(settings)]
        assert holds(settings, signed.note)
        assert state_of(settings).read() == {ORIGIN: SignedSize(size, signed.root)}

    scene(settings, test)


def test_the_origin_is_where_the_tiles_are(settings):
    public = settings.model_copy(update={"public_url": "https://clinic.example/ipt"})

    async def test(clinic):
        await grow(clinic)
        assert (await Checkpoints(clinic).sign()).origin == "clinic.example/ipt/log/default"

    scene(public, test)


def test_what_has_not_grown_is_not_signed_again_and_what_has_continues(settings):
    async def test(clinic):
        checkpoints, course = Checkpoints(clinic), await grow(clinic)
        first = await checkpoints.sign()
        assert await checkpoints.sign() == first
        await grow(clinic, course)
        second = await checkpoints.sign()
        assert second.size > first.size
        proof = await clinic.read(log.consistency, first.size, second.size)
        ipt_verify.check_consistency(
            first.size, second.size, proof, *(ipt_verify.decoded(each.root, "") for each in (first, second))
        )
        assert len(await rows(clinic, tables.log_checkpoint)) == 2

    scene(settings, test)


def test_an_empty_log_has_no_checkpoint(settings):
    async def test(clinic):
        assert await Checkpoints(clinic).sign() is None

    scene(settings, test)


def test_processes_that_sign_at_once_sign_each_size_once(settings):
    async def test(clinic):
        course = await grow(clinic)
        for _ in range(3):
            found = await asyncio.gather(*(Checkpoints(clinic).sign() for _ in range(4)))
            assert len({each.root for each in found if each}) == 1
            await grow(clinic, course)
        assert len(await rows(clinic, tables.log_checkpoint)) == 3

    scene(settings, test)


@pytest.mark.parametrize("step", ("LogState._write", "kept_files.replace", "log_keys.signed", "stored.keep"))
@pytest.mark.parametrize("done", (False, True), ids=("before", "after"))
def test_a_process_that_is_killed_between_two_steps_leaves_one_root_for_each_size(settings, monkeypatch, step, done):
    """The steps are: keep what is to be signed, sign it, keep the checkpoint."""
    owner, name = step.split(".")
    places = {
        "LogState": LogState,
        "kept_files": __import__("ipt_workflow.runtime.kept_files", fromlist=["x"]),
        "log_keys": log_keys,
        "stored": stored,
    }
    whole = getattr(places[owner], name)

    def dies(*args, **named):
        if done:
            whole(*args, **named)
        raise Died

    async def test(clinic):
        course = await grow(clinic)
        first = await Checkpoints(clinic).sign()
        await grow(clinic, course)
        with monkeypatch.context() as patched:
            patched.setattr(places[owner], name, dies)
            with pytest.raises(Died):
                await Checkpoints(clinic).sign()
        for _ in range(2):
            signed = await Checkpoints(clinic).sign()
            assert holds(settings, signed.note)
            assert ipt_verify.decoded(signed.root, "") == await clinic.read(log.root, signed.size)
            await grow(clinic, course)
        kept = await rows(clinic, tables.log_checkpoint)
        assert [each["size"] for each in kept][:1] == [first.size]
        assert len({each["size"] for each in kept}) == len(kept) == 3

    scene(settings, test)


async def copied(clinic) -> dict[sa.Table, list[dict]]:
    """Every row of the tables of the log, as a backup has them."""
    return {table: [dict(each) for each in await rows(clinic, table)] for table in OF_LOG}


OF_LOG = [table for table in tables.METADATA.sorted_tables if table.name in {"log_leaf", "log_tile", "log_head", "log_checkpoint"}]


async def put_back(clinic, settings: Settings, kept: dict[sa.Table, list[dict]]) -> None:
    """An older state of the log, put back by who owns the tables and takes their guards away."""

    def restore(connection) -> None:
        databases.without_guards(connection, [table.name for table in OF_LOG])
        for table, old in kept.items():
            connection.execute(sa.delete(table))
            if old:
                connection.execute(sa.insert(table), old)

    await clinic.database.write(restore)


def test_a_database_that_was_put_back_is_not_signed(settings):
    async def test(clinic):
        checkpoints, course = Checkpoints(clinic), await grow(clinic)
        await checkpoints.sign()
        backup = await copied(clinic)
        await grow(clinic, course)
        lost = await checkpoints.sign()
        await put_back(clinic, settings, backup)
        with pytest.raises(LogRefused, match="It is an older database") as refused:
            await checkpoints.sign()
        assert refused.value.reason == "behind"
        for _ in range(lost.size):  # it grows past what was signed
            await grow(clinic, course)
        with pytest.raises(LogRefused, match="another history") as refused:
            await checkpoints.sign()
        assert refused.value.reason == "forked"
        assert "another history" in (await checkpoints.show()).refused

    scene(settings, test)


def test_a_log_that_is_resumed_names_what_was_lost_and_is_signed_under_a_new_origin(settings):
    async def test(clinic):
        checkpoints, course = Checkpoints(clinic), await grow(clinic)
        kept = await checkpoints.sign()
        backup = await copied(clinic)
        await grow(clinic, course)
        lost = await checkpoints.sign()
        await put_back(clinic, settings, backup)
        begun = await checkpoints.resume(OPERATOR, "The disk failed, and the backup of the night before was put back.")
        assert (begun.origin, begun.kept_size, begun.lost_size, begun.lost_root) == (f"{ORIGIN}/2", kept.size, lost.size, lost.root)
        assert await checkpoints.sign() == kept  # nothing is signed before the record of why has its position
        await fan_out.bring_up_to_date(clinic)
        signed = await checkpoints.sign()
        assert signed.origin == f"{ORIGIN}/2"
        assert holds(settings, signed.note, f"{ORIGIN}/2")
        (record,) = [each for each in await rows(clinic, tables.audit_event) if each["action"] == "log resumed"]
        assert record["id"] == begun.record_id
        assert b'"lost_size":%d' % lost.size in record["canonical"]
        assert b"The disk failed" in record["canonical"]
        leaf = await clinic.read(log.leaf_of_record, record["id"])
        assert kept.size <= leaf.position < signed.size
        await grow(clinic, course)
        assert (await checkpoints.sign()).size > signed.size
        assert [each.nth for each in (await checkpoints.show()).origins] == [1, 2]

    scene(settings, test)


def test_a_log_that_continues_is_not_resumed(settings):
    async def test(clinic):
        await grow(clinic)
        await Checkpoints(clinic).sign()
        with pytest.raises(CommandInvalid, match="nothing to resume"):
            await Checkpoints(clinic).resume(OPERATOR, "Just so.")

    scene(settings, test)


@pytest.mark.parametrize("reason", ("", "  ", "x" * 501))
def test_a_log_is_resumed_for_a_reason(settings, reason):
    async def test(clinic):
        await grow(clinic)
        with pytest.raises(CommandInvalid, match="must say why"):
            await Checkpoints(clinic).resume(OPERATOR, reason)

    scene(settings, test)


def test_a_checkpoint_that_somebody_brings_back_shows_that_an_older_database_was_put_back(settings):
    """The file that says what was signed was lost as well."""

    async def test(clinic):
        checkpoints, course = Checkpoints(clinic), await grow(clinic)
        kept = await checkpoints.sign()
        backup, state = await copied(clinic), state_of(settings).read()
        await grow(clinic, course)
        lost = ipt_verify.read_note((await checkpoints.sign()).note)
        assert not await checkpoints.hear(lost)
        await put_back(clinic, settings, backup)
        state_of(settings)._write(state)
        assert await checkpoints.sign() == kept
        assert not await checkpoints.hear(ipt_verify.read_note(kept.note))
        assert await checkpoints.hear(lost)
        with pytest.raises(LogRefused, match="It is an older database"):
            await checkpoints.sign()

    scene(settings, test)


def test_a_checkpoint_that_the_log_has_not_signed_changes_nothing(settings):
    ours = log_keys.of_log(Path(settings.log_key_file).read_text(), f"{ORIGIN}/2")

    async def test(clinic):
        await grow(clinic)
        signed = await Checkpoints(clinic).sign()
        larger = ipt_verify.Checkpoint(ORIGIN, signed.size + 5, b"\1" * 32)
        others = log_keys.of_log(log_keys.new_file(), ORIGIN)
        assert not await Checkpoints(clinic).hear(log_keys.signed(larger.text(), others, 0))
        assert not await Checkpoints(clinic).hear(log_keys.signed(larger._replace(origin=f"{ORIGIN}/2").text(), ours, 0))
        assert state_of(settings).read() == {ORIGIN: SignedSize(signed.size, signed.root)}

    scene(settings, test)


def test_a_tile_that_was_changed_is_not_signed(settings):
    async def test(clinic):
        course = await grow(clinic)
        await Checkpoints(clinic).sign()
        state_of(settings).path.unlink()

        def change(connection) -> None:
            databases.without_guards(connection, ["log_tile"])
            connection.execute(sa.update(tables.log_tile).values(hashes=b"\1" * 64))

        await clinic.database.write(change)
        with pytest.raises(LogRefused, match="another history"):
            await Checkpoints(clinic).sign()
        assert course

    scene(settings, test)


def rewrite(settings: Settings, change, *args: str) -> None:
    """Changes the file of the keys."""
    file = Path(settings.log_key_file)
    file.write_text(change(file.read_text(), *args))


def test_keys_are_changed_one_after_the_other(settings):
    before, *_ = keys_of(settings)

    async def test(clinic):
        course = await grow(clinic)
        rewrite(settings, log_keys.with_new_keys)
        both = ipt_verify.read_note((await Checkpoints(clinic).sign()).note)
        after = keys_of(settings)[2]
        assert [ipt_verify.holds(each, both) for each in (before, after)] == [True, True]
        for each in keys_of(settings)[:2]:
            rewrite(settings, log_keys.without_key, ORIGIN, each.id.hex())
        await grow(clinic, course)
        new = ipt_verify.read_note((await Checkpoints(clinic).sign()).note)
        assert [ipt_verify.holds(each, new) for each in (before, after)] == [None, True]

    scene(settings, test)


def test_the_last_key_is_not_removed(settings):
    text = Path(settings.log_key_file).read_text()
    ed25519, ml_dsa = keys_of(settings)
    with pytest.raises(KeyFileInvalid, match="no line of the kind ed25519"):
        log_keys.without_key(text, ORIGIN, ed25519.id.hex())
    with pytest.raises(KeyFileInvalid, match="no key with the id 00000000"):
        log_keys.without_key(text, ORIGIN, "00000000")
    assert "ed25519" in log_keys.without_key(text, ORIGIN, ml_dsa.id.hex())


@pytest.mark.parametrize("content", ("", "{", '{"x": 1}', "[]"))
def test_a_file_that_says_nothing_of_what_was_signed_stops_signing(settings, content):
    state_of(settings).path.write_text(content)

    async def test(clinic):
        await grow(clinic)
        with pytest.raises(LogStateInvalid, match="is not what the log kept"):
            await Checkpoints(clinic).sign()

    scene(settings, test)


def test_what_cannot_be_kept_is_not_signed(settings, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    async def test(clinic):
        await grow(clinic)
        monkeypatch.setattr("ipt_workflow.runtime.kept_files.replace", full)
        with pytest.raises(OSError, match="No space left"):
            await Checkpoints(clinic).sign()
        assert await rows(clinic, tables.log_checkpoint) == []

    scene(settings, test)


@pytest.mark.parametrize("state", ("behind", "keys"))
def test_what_is_not_signed_is_counted(settings, state):
    async def test(clinic):
        await grow(clinic)
        if state == "behind":
            state_of(settings).know(ORIGIN, SignedSize(1000, "root"))
        else:
            rewrite(settings, lambda _: "")
        await service_checkpoints.sign_or_say(Checkpoints(clinic))
        assert f'ipt_log_refusals_total{{reason="{state}"}} 1.0' in clinic.metrics.text().decode()

    scene(settings, test)


def test_without_keys_the_log_grows_and_says_what_to_do(settings):
    async def test(clinic):
        await grow(clinic)
        with pytest.raises(KeyFileInvalid, match="ipt-workflow log key"):
            await Checkpoints(clinic).sign()

    scene(settings.model_copy(update={"log_key_file": ""}), test)


def test_a_checkpoint_in_the_database_is_never_replaced(settings):
    async def test(clinic):
        await grow(clinic)
        signed = await Checkpoints(clinic).sign()
        with pytest.raises(sa.exc.IntegrityError, match=r"only grows"):
            await clinic.database.write(lambda c: c.exec_driver_sql("UPDATE log_checkpoint SET root = 'x'"))
        other = stored.StoredCheckpoint(
            size=signed.size, origin=ORIGIN, root="other", note="other", created_at=clinic.clock.now() + dt.timedelta(days=1)
        )
        assert await clinic.write(stored.keep, other) == signed

    scene(settings, test)

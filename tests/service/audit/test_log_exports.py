"""An auditor takes the whole log away: with which texts, who may, and what happens where the log cannot be signed."""

import zipfile
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, marks, service_walk, signed_logs
from support.signed_logs import SignedLogs
from support.witnesses import OwnWitness

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.errors import Forbidden, JournalBroken, NotFound
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints, LogRefused
from ipt_workflow.service.audit.log_exports import LogExports
from ipt_workflow.service.audit.witnesses import Witnesses
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store.schema import tables


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str | None) -> SignedLogs:
    return signed_logs.made(tmp_path_factory.mktemp("exported"), server)


def test_texts_go_along_only_if_they_are_asked_for_and_may_be_read(made: SignedLogs, tmp_path: Path) -> None:
    async def masked(clinic: Clinic) -> list[tuple[bool, bool]]:
        known = []
        for texts, rule in ((False, "open"), (True, "open"), (True, "never")):
            clinic.access_rules = msgspec.structs.replace(clinic.access_rules, auditor_text=rule)
            await signed_logs.exported(clinic, tmp_path / "log.zip", texts=texts)
            with zipfile.ZipFile(tmp_path / "log.zip") as archive:
                entries = archive.read(ipt_verify.ENTRIES)
            known.append((b"She called" in entries, b'"masked":true' in entries))
        return known

    found = service_walk.with_clinic(signed_logs.copy(made.now, tmp_path), masked)
    assert found == [(False, True), (True, False), (False, True)]


@pytest.mark.parametrize("kind", ("objection", "restriction"))
def test_a_bundle_that_names_no_client_has_no_texts_of_who_objects_and_is_proved_all_the_same(
    made: SignedLogs, tmp_path: Path, kind: str
) -> None:
    async def taken(clinic: Clinic) -> bytes:
        refs = sa.select(tables.client.c.ref).where(tables.client.c.organisation == clinic.organisation)
        for ref in await clinic.database.read(lambda connection: connection.execute(refs).scalars().all()):
            await marks.mark(clinic, kind, ref=ref)
        await signed_logs.exported(clinic, tmp_path / "log.zip", texts=True)
        with zipfile.ZipFile(tmp_path / "log.zip") as archive:
            return archive.read(ipt_verify.ENTRIES)

    entries = service_walk.with_clinic(signed_logs.copy(made.now, tmp_path), taken)
    assert (b"She called" in entries, b'"masked":true' in entries) == (False, True)
    (tmp_path / "policy").write_text(made.policy)
    assert ipt_verify.main(["--policy", str(tmp_path / "policy"), str(tmp_path / "log.zip")]) == 0


def test_only_auditors_take_the_log_away(made: SignedLogs, tmp_path: Path) -> None:
    async def taken(clinic: Clinic) -> None:
        with (tmp_path / "log.zip").open("wb") as target:
            await LogExports(clinic).write(service_walk.SUPERVISOR, target)

    with pytest.raises(Forbidden):
        service_walk.with_clinic(signed_logs.copy(made.now, tmp_path), taken)


def test_without_keys_the_newest_checkpoint_of_before_goes_along(made: SignedLogs, tmp_path: Path) -> None:
    settings = signed_logs.copy(made.now, tmp_path).model_copy(update={"log_key_file": ""})
    refused = service_walk.with_clinic(settings, lambda clinic: signed_logs.exported(clinic, tmp_path / "log.zip"))
    assert "IPT_LOG_KEY_FILE" in refused[0]
    (tmp_path / "policy").write_text(made.policy)
    assert ipt_verify.main(["--policy", str(tmp_path / "policy"), str(tmp_path / "log.zip")]) == 0


def test_a_log_that_was_never_signed_cannot_be_taken_away(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="log key"):
        service_walk.with_clinic(databases.empty(tmp_path), lambda clinic: signed_logs.exported(clinic, tmp_path / "log.zip"))


def test_a_checkpoint_that_somebody_destroyed_is_named(made: SignedLogs, tmp_path: Path) -> None:
    async def destroyed(clinic: Clinic) -> None:
        await clinic.write(forged)
        await signed_logs.exported(clinic, tmp_path / "log.zip")

    def forged(connection: sa.Connection, organisation: str) -> None:
        table = tables.log_checkpoint
        known = {"origin": "x", "root": "y", "note": "z", "created_at": service_walk.START}
        connection.execute(sa.insert(table), {"organisation": organisation, "size": 1_000_000, **known})

    with pytest.raises(JournalBroken, match="newest checkpoint"):
        service_walk.with_clinic(signed_logs.copy(made.now, tmp_path), destroyed)


@pytest.mark.parametrize("policy_is_told", [True, False])
def test_a_log_that_goes_on_after_a_restore_is_reported_with_what_was_lost(
    made: SignedLogs, tmp_path: Path, capsys: pytest.CaptureFixture[str], policy_is_told: bool
) -> None:
    """The backup was put back. What was signed since is known beside the keys, and the auditor kept it."""

    async def resumed(clinic: Clinic) -> tuple[str, ...]:
        with pytest.raises(LogRefused):
            await Checkpoints(clinic).sign()
        await Checkpoints(clinic).resume(signed_logs.OPERATOR, "A disk failed.")
        await fan_out.bring_up_to_date(clinic)
        assert await signed_logs.exported(clinic, tmp_path / "log.zip") == []
        return (await Checkpoints(clinic).show()).keys

    keys = service_walk.with_clinic(signed_logs.copy(made.backup, tmp_path, keys_of=made.now), resumed)
    anew = "".join(f"log {each}\n" for each in keys) + "quorum none\n"
    (tmp_path / "policy").write_text(anew if policy_is_told else made.policy)
    (tmp_path / "kept").write_text(made.kept, encoding="utf-8")
    code = ipt_verify.main(["--policy", str(tmp_path / "policy"), "--kept", str(tmp_path / "kept"), str(tmp_path / "log.zip")])
    said = capsys.readouterr().out
    assert "The log began anew as ipt-workflow/log/default/2, after ipt-workflow/log/default." in said
    assert "from 13 to before 28, some or all are lost. The reason that was given: A disk failed." in said
    assert code == (3 if policy_is_told else 1)
    assert ("No log of the policy has signed" in said) != policy_is_told


def with_witness(made: SignedLogs, folder: Path, *, cosigns: bool) -> Settings:
    """A copy with a policy that asks for a witness by files, who has perhaps cosigned the checkpoint that the auditor kept."""
    logs = ipt_verify.read_policy(made.policy).logs
    witness = OwnWitness({"ipt-workflow/log/default": list(logs)}, folder / "witness")
    lines = made.policy.removesuffix("quorum none\n")
    (folder / "policy").write_text(f"{lines}witness stick {witness.key.vkey()}\nquorum stick\n")
    settings = signed_logs.copy(made.now, folder).model_copy(update={"log_policy_file": str(folder / "policy")})
    kept = ipt_verify.read_note(made.kept)
    if cosigns:
        cosigned = log_keys.signed(kept.text, witness.own, 1_700_000_000)
        service_walk.with_clinic(settings, lambda clinic: Witnesses(clinic).take(str(cosigned)))
    return settings


@pytest.mark.parametrize("cosigns", [True, False])
def test_the_newest_checkpoint_with_its_quorum_goes_along(
    made: SignedLogs, tmp_path: Path, capsys: pytest.CaptureFixture[str], cosigns: bool
) -> None:
    settings = with_witness(made, tmp_path, cosigns=cosigns)
    (refused,) = service_walk.with_clinic(settings, lambda clinic: signed_logs.exported(clinic, tmp_path / "log.zip"))
    assert "quorum" in refused
    code = ipt_verify.main(["--policy", str(tmp_path / "policy"), str(tmp_path / "log.zip")])
    said = capsys.readouterr().out
    assert (code, "cosigned by stick" in said) == ((0, True) if cosigns else (1, False))
    with zipfile.ZipFile(tmp_path / "log.zip") as archive:
        assert archive.read(ipt_verify.POLICY) == (tmp_path / "policy").read_bytes()

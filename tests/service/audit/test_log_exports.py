"""An auditor takes the whole log away: with which texts, who may, and what happens where the log cannot be signed."""

import zipfile
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk, signed_logs
from support.signed_logs import SignedLogs

from ipt_workflow.errors import Forbidden, JournalBroken, NotFound
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.service.audit.log_exports import LogExports
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

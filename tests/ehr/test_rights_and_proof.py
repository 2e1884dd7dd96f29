"""A client's export is asked for, made and verified offline; then the client is erased, and the log still proves."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support import databases, service_walk, signed_logs
from support.marks import mark

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.client_exports import ClientExportQuery, ClientExports
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.erasures import Erasures

OFFICER = Principal(person="admin-1", role="admin", via="cli")
EMPTIED = "UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq = 2"
OWNER = Principal(person="therapist-1", role="therapist", via="cli")


class Scene:
    """A clinic with a client, and a person outside it with the verifier, a policy and what they kept."""

    def __init__(self, settings: Settings, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = settings
        self.folder = folder
        self._capsys = capsys

    def verify(self, name: str) -> tuple[int, str]:
        given = [str(self.folder / each) for each in ("policy", "kept", name)]
        return ipt_verify.main(["--policy", given[0], "--kept", *given[1:]]), self._capsys.readouterr().out

    async def begin(self, clinic: Clinic) -> str:
        course = await service_walk.open_course(clinic)
        await signed_logs.some_work(clinic, course)
        keys = (await Checkpoints(clinic).show()).keys
        (self.folder / "policy").write_text("".join(f"log {each}\n" for each in keys) + "quorum none\n")
        return course

    async def log(self, clinic: Clinic) -> None:
        await signed_logs.some_work(clinic, await service_walk.open_course(clinic, "EHR-later"), 1)
        await signed_logs.exported(clinic, self.folder / "log.zip")

    async def client(self, clinic: Clinic) -> None:
        with (self.folder / "client.zip").open("wb") as file:
            await ClientExports(clinic).write(OWNER, lambda: ClientExportQuery(client_ref="EHR-1", ground="gdpr-15"), file)


@pytest.fixture(params=[False, True], ids=["without keys", "with keys"])
def scene(request: pytest.FixtureRequest, server: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scene:
    (tmp_path / "log.keys").write_text(log_keys.new_file())
    more = {"log_key_file": str(tmp_path / "log.keys"), "secret_keys": Fernet.generate_key().decode() if request.param else ""}
    return Scene(databases.empty(tmp_path, server).model_copy(update=more), tmp_path, capsys)


def test_an_export_verifies_and_after_the_erasure_the_log_still_does(scene: Scene) -> None:
    async def exported(clinic: Clinic) -> None:
        await scene.begin(clinic)
        await scene.client(clinic)

    async def erased(clinic: Clinic) -> None:
        await Erasures(clinic).erase(OFFICER, lambda: NewErasure(client_ref="EHR-1", ground="objection"))
        await scene.log(clinic)

    service_walk.with_clinic(scene.settings, exported)
    code, said = scene.verify("client.zip")
    assert (code, "Entries: 7 (without text: 0). Courses: 1." in said) == (0, True), said
    service_walk.with_clinic(scene.settings, erased)
    code, said = scene.verify("log.zip")
    assert (code, "Entries: 9 (without text: 7). Courses: 2." in said) == (0, True), said
    assert scene.verify("client.zip")[0] == 3  # it is older than what was kept meanwhile


def test_texts_under_a_processing_restriction_do_not_go_along(scene: Scene) -> None:
    async def restricted(clinic: Clinic) -> None:
        await scene.begin(clinic)
        await mark(clinic, "restriction")
        await scene.log(clinic)

    service_walk.with_clinic(scene.settings, restricted)
    code, said = scene.verify("log.zip")
    assert (code, "Entries: 9 (without text: 7)." in said) == (0, True), said


def test_a_text_that_somebody_emptied_without_an_erasure_is_named(scene: Scene) -> None:
    async def emptied(clinic: Clinic) -> None:
        await scene.begin(clinic)
        await clinic.database.write(lambda connection: connection.exec_driver_sql(EMPTIED))
        await scene.log(clinic)

    service_walk.with_clinic(scene.settings, emptied)
    code, said = scene.verify("log.zip")
    assert code == 3
    assert "and no record says that it was erased" in said

"""What `make serve` shows of a client's rights: asked for, made, verified offline, erased, and the log still verifies."""

import importlib.util
from pathlib import Path

import pytest
from support import service_walk

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo_rights.py"
REF = "EHR-7741"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("demo_rights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch, server):
    """Where the demonstration keeps its files, beside a database with a client."""

    async def fill(clinic):
        course = await service_walk.open_course(clinic, REF)
        await service_walk.walk(clinic, course, "record_consent", "start", "record_session", "sign_session")

    settings = service_walk.database(tmp_path, fill, server)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("IPT_LOG_KEY_FILE", str(tmp_path / "log.keys"))
    (tmp_path / "rights").mkdir()
    return tmp_path / "rights"


def test_a_client_is_exported_verified_offline_and_erased_and_the_log_still_verifies(script, folder, capfd):
    script.Demonstration(folder, REF).show()
    said = capfd.readouterr()
    assert said.out.count("All holds.") == 4
    assert {each.name for each in folder.iterdir()} >= {"client.zip", "before.zip", "after.zip", "kept.txt", "policy.txt"}
    assert "There is a hold on the client's record" in said.err
    assert REF not in (folder / "after.zip").read_bytes().decode("latin-1")
    assert "germany-record is in force" in said.out
    assert "DEMO-OLD" in said.out.partition("$ ipt-workflow retention due")[2].partition("$")[0]


def test_a_step_that_fails_ends_it(script, folder):
    with pytest.raises(script.StepFailed, match="client export"):
        script.Demonstration(folder, "nobody").show()

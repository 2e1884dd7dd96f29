"""`db upgrade` beside processes of the version before: they serve on, and are replaced one after the other.

The next version is made here: this one, with a migration more.
"""

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from faults import after
from faults.conftest import Place
from faults.histories import Load
from faults.service import Service, command, environment, filled

import ipt_workflow
from deploy.programs import DEPLOY
from ipt_workflow.store.schema import revision

NEXT_PROGRAM = [sys.executable, "-c", "from ipt_workflow.cli import main; main()"]  # of the package in the folder where it is run
NEXT = f"{int(revision.HEAD) + 1:04}"
MIGRATION = f'''
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{revision.HEAD}"


def upgrade() -> None:
    op.create_table("of_the_next_version", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("course", sa.Column("of_the_next_version", sa.Text, nullable=True))
'''


@pytest.fixture
def newer(tmp_path) -> Path:
    """The folder of the next version's package."""
    folder = tmp_path / "newer"
    package = folder / "ipt_workflow"
    shutil.copytree(Path(ipt_workflow.__file__).parent, package)
    shutil.copytree(DEPLOY.parent / "config", folder / "config")
    (package / "store/schema/migrations/versions" / f"{NEXT}_next.py").write_text(MIGRATION)
    declared = package / "store/schema/revision.py"
    text = declared.read_text(encoding="utf-8")
    assert f'HEAD = "{revision.HEAD}"' in text
    declared.write_text(text.replace(f'HEAD = "{revision.HEAD}"', f'HEAD = "{NEXT}"'))
    return folder


class Newer(Service):
    """A service of the next version."""

    package: Path

    def _started(self, settings: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as stream:
            command = [*NEXT_PROGRAM, "serve", "--port", str(self.port)]
            variables = environment(self.database, **settings)
            return subprocess.Popen(command, cwd=self.package, env=variables, stdout=stream, stderr=stream)


def next_command(package: Path, database: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NEXT_PROGRAM, *words], cwd=package, env=environment(database), capture_output=True, text=True)


async def state(service: Service) -> tuple[int, str]:
    """What a service says of its readiness."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{service.url}/health/ready")
        return answer.status_code, answer.json().get("detail", "")


@pytest.mark.rest
def test_a_database_is_upgraded_beside_processes_of_the_version_before(server, newer, tmp_path):
    """No request fails: the older processes are ready until they are told to stop, and only they are."""
    database = asyncio.run(server.new_database(name="upgraded"))
    tokens = filled(database)
    place = Place(database, tokens, tmp_path, server)

    async def play():
        async with (
            Service(database, tmp_path / "older.log", drain_seconds="1") as older,
            Newer(database, tmp_path / "newer.log") as successor,
            Load([older.url], tokens["therapist"], 1, name="upgrade", hurried=0, pause=0.02, patience=30) as load,
        ):
            successor.package = newer
            await older.start()
            await load.open()
            working = asyncio.create_task(load.run(most=100_000, seconds=60))
            upgraded = await asyncio.to_thread(next_command, newer, database, "db", "upgrade")
            assert upgraded.returncode == 0, upgraded.stderr
            assert NEXT in upgraded.stdout
            assert await state(older) == (200, "")
            await successor.start()
            load.urls = [successor.url, older.url]
            await asyncio.sleep(0.3)
            load.urls = [successor.url]
            assert await older.stop() == -signal.SIGTERM
            load.stop()
            await working
            assert load.unexpected == []
            await after.holds(load, place)
            assert [each.errors() for each in (older, successor)] == ["", ""]

    asyncio.run(play())
    refused = command(database, "serve")
    assert refused.returncode == 1
    assert NEXT in refused.stderr
    assert "newer" in refused.stderr
    verified = next_command(newer, database, "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr

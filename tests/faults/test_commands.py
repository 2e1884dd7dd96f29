"""Commands that are killed, and a disk that fills under them: run again, they end whole, with everything there once."""

import asyncio
import json
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from faults import service
from faults.conftest import Place

PROGRAM = [sys.executable, "-c", "from ipt_workflow.cli import main; main()"]
COURSES = 40
TRIES = 60
SOURCE = {"source": "General practitioner", "indication": "depression"}


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path}/ipt.db", {}, tmp_path)
    server = request.getfixturevalue("server")
    return Place(asyncio.run(server.new_database("template0")), {}, tmp_path, server)


def until_it_ends(place: Place, dice: random.Random, *args: str) -> tuple[int, str]:
    """Runs a command again and again and kills it each time a little later, until it ends by itself. Returns the kills and its output."""
    patience = dice.uniform(0.8, 1.6)
    for kills in range(TRIES):
        with subprocess.Popen(
            [*PROGRAM, *args], env=service.environment(place.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            try:
                output, errors = run.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                patience *= dice.uniform(1.2, 1.6)
                continue
        assert run.returncode == 0, errors
        return kills, output
    raise AssertionError("it never ended")


def lines(path: Path) -> Path:
    opened = [
        {"course": f"C{n}", "trigger": "refer", "client_ref": f"IMP-{n}", "therapist": "t", "data": SOURCE} for n in range(COURSES)
    ]
    notes = [{"course": f"C{n}", "trigger": "note", "data": {"text": "Rang"}} for n in range(COURSES)]
    path.write_text("".join(json.dumps(each) + "\n" for each in [*opened, *notes]), encoding="utf-8")
    return path


@pytest.mark.rest
def test_an_upgrade_and_an_import_that_are_killed_end_whole_when_they_are_run_again(bare, seeds):
    dice = random.Random(seeds.start)

    async def play() -> None:
        until_it_ends(bare, dice, "db", "upgrade")
        assert service.command(bare.url, "db", "check").returncode == 0
        kills, output = until_it_ends(bare, dice, "import", str(lines(bare.folder / "lines.ndjson")), "--json")
        report = json.loads(output)
        assert (report["accepted"] + report["known"], report["refused"]) == (2 * COURSES, []), f"{kills} kills"
        assert await bare.rows("SELECT count(*) FROM course") == [(COURSES,)]
        assert await bare.rows("SELECT count(*) FROM entry") == [(2 * COURSES,)]
        assert json.loads(service.command(bare.url, "audit", "verify", "--json").stdout)["ok"]

    asyncio.run(play())


def test_an_import_on_a_full_disk_says_so_and_goes_on_when_there_is_room(tmp_path):
    place = Place(f"sqlite:///{tmp_path}/ipt.db", {}, tmp_path)
    assert service.command(place.url, "db", "upgrade").returncode == 0
    command = [*PROGRAM, "import", str(lines(tmp_path / "lines.ndjson")), "--json"]
    room = place.file.stat().st_size
    full = subprocess.run(
        command, env=service.environment(place.url), capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "disk is full" in full.stderr + full.stdout
    again = service.command(place.url, *command[len(PROGRAM) :])
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert (report["accepted"] + report["known"], report["refused"]) == (2 * COURSES, [])
    assert service.command(place.url, "db", "check").returncode == 0

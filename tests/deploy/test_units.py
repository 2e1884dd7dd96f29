"""The unit of systemd and the container: checked by systemd's own tools, and the service run with no more rights than they leave it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from faults.service import environment, filled, free_port

from deploy.programs import DEPLOY, example, program, running
from ipt_workflow.api import server
from ipt_workflow.runtime import settings

PROGRAM = [sys.executable, "-c", "from ipt_workflow.cli import main; main()"]
UNIT = "ipt-workflow@.service"
EXPOSURE_MOST = 2.0  # of 10, as `systemd-analyze security` counts
FINISH_SECONDS = 10  # what `api/server.py` gives the requests under way
# Makes the whole file system read-only but for one folder, and drops every capability, for a command that may not get any back.
CONFINED = """
set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro "$2"
mount -o remount,bind,ro /
shift 2
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def lines(name: str) -> dict[str, list[str]]:
    """The values of each key of a file of lines such as KEY=value."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def unit(tmp_path) -> Path:
    """The unit, with a program that is on this machine."""
    path = tmp_path / UNIT
    path.write_text(example(UNIT, {"/opt/ipt-workflow/bin/ipt-workflow": shutil.which("true") or ""}))
    return path


def analysed(*arguments: str) -> str:
    done = subprocess.run([program("systemd-analyze"), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault_in_the_unit(unit):
    assert analysed("verify", "--man=no", str(unit)) == ""


def test_systemd_finds_a_fault_that_is_there(unit):
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHome=perhaps").replace("Type=exec", "Kind=exec"))
    said = subprocess.run([program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True).stderr
    assert "Kind" in said
    assert "protect home" in said


def test_the_unit_leaves_the_service_few_rights(unit):
    (exposure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", analysed("security", "--offline=true", str(unit)))
    assert float(exposure) <= EXPOSURE_MOST


def test_the_unit_waits_as_long_as_the_service_takes_to_stop():
    configured = settings.load({key: value for key, (value,) in lines("environment").items()})
    (patience,) = lines(UNIT)["TimeoutStopSec"]
    assert int(patience) >= configured.drain_seconds + FINISH_SECONDS + configured.delivery_timeout_seconds


def test_a_process_drains_longer_than_haproxy_takes_to_ask_and_outwaits_every_proxy():
    asked_every, failures = re.findall(r"inter (\d+)s fall (\d+)", (DEPLOY / "haproxy.cfg").read_text(encoding="utf-8"))[0]
    assert float(lines("environment")["IPT_DRAIN_SECONDS"][0]) >= 2 * int(asked_every) * int(failures)
    (kept,) = re.findall(r"\bkeepalive_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    assert int(kept) < server.IDLE_SECONDS


# The container


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word.isupper()]


def test_the_container_runs_without_root_and_is_asked_how_it_is():
    known = dict(instructions())  # the last of each
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", known["USER"])
    assert any(
        word == "COPY" and f"--chown={known['USER']}" in rest and rest.endswith(known["VOLUME"]) for word, rest in instructions()
    )
    assert known["STOPSIGNAL"] == "SIGTERM"
    assert known["ENTRYPOINT"].startswith("[")  # without a shell, which would keep the signal for itself
    assert known["CMD"] == '["serve"]'
    assert "/health/live" in known["HEALTHCHECK"]
    assert "--timeout=" in known["HEALTHCHECK"]


def test_the_container_installs_what_is_locked_and_nothing_that_runs_code_to_be_built():
    (installing,) = [rest for word, rest in instructions() if word == "RUN"]
    locked, ours = [each for each in installing.split("&&") if "pip install" in each]
    assert "--require-hashes" in locked
    assert "--only-binary :all:" in locked
    assert "--no-deps" in ours
    assert {word for word, _ in instructions()} <= {
        "ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip


def test_the_settings_of_the_container_are_known_and_its_health_check_asks_its_port():
    (pairs,) = [rest for word, rest in instructions() if word == "ENV"]
    given = dict(pair.split("=", 1) for pair in pairs.split())
    configured = settings.load({key: value for key, value in given.items() if key.startswith("IPT_")})
    assert configured.host == "0.0.0.0"
    assert f":{configured.port}/health/live" in dict(instructions())["HEALTHCHECK"]
    assert configured.database_url.startswith("sqlite:///" + dict(instructions())["VOLUME"])


def test_the_image_is_built_where_there_is_a_builder(tmp_path):
    builder = next((found for name in ("podman", "docker", "buildah") if (found := shutil.which(name))), None)
    base = re.search(r"^ARG PYTHON=(\S+)", (DEPLOY / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    if not builder or subprocess.run([builder, "inspect", "--type", "image", base], capture_output=True).returncode:
        pytest.skip("there is no builder of containers with the base image; the file is checked without it")
    root = tmp_path / "context"
    shutil.copytree(DEPLOY.parent / "requirements", root / "requirements")
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(root / "dist"), str(DEPLOY.parent)]
    subprocess.run(wheel, check=True, capture_output=True)
    built = subprocess.run([builder, "build", "--file", str(DEPLOY / "Containerfile"), str(root)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr


def test_the_service_needs_no_rights_and_writes_only_to_its_folder(tmp_path):
    """As under the unit and in the container: no capability, a read-only file system, one folder to write to."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a read-only file system needs the rights of an administrator")
    data = tmp_path / "data"
    data.mkdir()
    database = f"sqlite:///{data}/ipt.db"
    therapist = {"Authorization": f"Bearer {filled(database)['therapist']}"}
    mount = next(str(folder) for folder in tmp_path.parents if os.path.ismount(folder))
    port = free_port()
    confined = ["unshare", "--mount", "sh", "-c", CONFINED, "sh", str(data), mount]
    refused = subprocess.run([*confined, "touch", str(tmp_path / "elsewhere")], capture_output=True, text=True)
    assert "Read-only" in refused.stderr
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            return httpx.get(f"{url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    log = tmp_path / "log"
    with running([*confined, *PROGRAM, "serve", "--port", str(port)], is_up, log, env=environment(database)) as process:
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{process.pid}/status").read_text()
        body = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
        assert httpx.post(f"{url}/v1/courses", json=body, headers=therapist).status_code == 201
    assert log.read_text() == ""

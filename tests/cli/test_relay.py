"""`relay` and `receive` at the command line: what they print, and when they refuse to start."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support import service_walk
from typer.testing import CliRunner

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.main import app
from ipt_workflow.cli.relay import words
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.bodies import NewSubscription
from ipt_workflow.ehr.deliveries.receiver import DeliveryReceipt
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions

ADMIN = Principal(person="admin-1", role="admin", via="cli")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A database with something to deliver, to nobody who listens."""

    async def fill(clinic):
        await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url="https://ehr.invalid/hooks"))
        await service_walk.open_course(clinic)

    settings = service_walk.database(tmp_path, fill)
    for name in [name for name in os.environ if name.startswith(("IPT_", "RECEIVE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    return settings


def invoked(*arguments: str, code: int = 0, **environ: str):
    result = CliRunner().invoke(app, list(arguments), env=environ)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_a_relay_that_is_to_run_once_says_how_much_it_tried(made):
    assert json.loads(invoked("relay", "--once", "--json").stdout) == {"attempts": 1}
    assert invoked("relay", "--once").stdout == "0 attempts.\n"


def test_a_relay_without_a_database_says_so(made, tmp_path):
    assert "db upgrade" in invoked("relay", "--once", code=1, IPT_DATABASE_URL=f"sqlite:///{tmp_path}/none.db").output


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_relay_that_is_interrupted_ends_well(made, number):
    program = "from ipt_workflow.ehr.deliveries.relay import Relay; from ipt_workflow.cli import main; old = Relay.run\n"
    program += "def run(self, stop):\n    print('runs', flush=True); return old(self, stop)\n"
    program += "Relay.run = run; main()"
    process = subprocess.Popen([sys.executable, "-c", program, "relay"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "runs\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_receiver_without_a_secret_or_with_none_that_is_one_does_not_start():
    assert "--secret must be given" in invoked("receive", code=2, RECEIVE_SECRET="").output
    refused = invoked("receive", "--secret", "hunter2", code=2, RECEIVE_SECRET="").output
    assert "whsec_" in refused
    assert "hunter2" not in refused


def test_a_receipt_is_one_line_with_what_is_wrong():
    receipt = DeliveryReceipt(
        outcome="received", status=204, id="evt_1", type="course.changed", course="c", sequence=7, missing=(4, 6)
    )
    assert words(receipt) == "received  204  course.changed  c  evt_1  sequence 7  GAP: 4-6 missing"
    assert words(DeliveryReceipt(outcome="unsigned", status=401)) == "unsigned  401"
    late = DeliveryReceipt(outcome="received", status=204, id="evt_2", type="t", course="c", sequence=5, late=True)
    assert words(late).endswith("late")
    assert "REWRITTEN: another log of size 9" in words(DeliveryReceipt(outcome="received", status=204, log_size=9, rewritten=True))
    assert "GAP: 4 missing" in words(DeliveryReceipt(outcome="received", status=204, missing=(4, 4)))


def test_the_secret_may_come_from_the_environment_so_that_no_list_of_processes_shows_it(monkeypatch):
    served = []
    monkeypatch.setattr("uvicorn.run", lambda application, **more: served.append((application, more)))
    invoked("receive", "--port", "9999", RECEIVE_SECRET=f"{signatures.mint_shared()} {signatures.mint_shared()}")
    ((receiver, more),) = served
    assert len(receiver._keys) == 2
    assert more["port"] == 9999

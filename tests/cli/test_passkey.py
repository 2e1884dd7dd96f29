"""`ipt-workflow passkey`: how people come to sign in where no identity provider does it, from the command line."""

import asyncio
import json

import pytest
from support import databases
from support.authenticator import SoftwareAuthenticator
from support.local_sign_in import Local
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.service.clinic import open_clinic


@pytest.fixture
def run(settings):
    def invoke(*arguments: str, code: int = 0, **environment: str):
        env = {"IPT_DATABASE_URL": settings.database_url, **environment}
        made = CliRunner().invoke(app, ["passkey", *arguments], env=env)
        assert made.exit_code == code, made.output
        return made

    return invoke


def enrol(settings, person: str) -> None:
    async def inside():
        clinic = await open_clinic(settings)
        try:
            await Local(clinic).enrol(person, SoftwareAuthenticator())
        finally:
            await clinic.installation.close()

    asyncio.run(inside())


def test_a_link_is_printed_once_with_the_address_at_which_people_reach_the_service(run):
    first, second = run("link", "therapist-1", IPT_PUBLIC_URL="https://clinic.example/ipt").stdout.splitlines()
    assert first.startswith("https://clinic.example/ipt/o/default/enrol?key=")
    assert second.startswith("For therapist-1, once, until ")
    here = json.loads(run("link", "therapist-1", "--json", IPT_PORT="8123").stdout)
    assert here["link"].startswith("http://localhost:8123/o/default/enrol?key=")
    assert here["person"] == "therapist-1"


def test_somebody_who_is_not_here_gets_no_link(run):
    assert run("link", "nobody-here", code=1).output.strip() == "There is no such person here, or they have left."


def test_what_a_person_has_is_shown_and_taken_away(run, settings):
    enrol(settings, "therapist-1")
    shown = json.loads(run("show", "therapist-1", "--json").stdout)
    assert (len(shown["passkeys"]), shown["recovery_codes"], shown["password_changed_at"]) == (1, 10, None)
    lines = run("show", "therapist-1").stdout.splitlines()
    assert lines[0] == "therapist-1: 10 recovery codes left; password: none"
    assert lines[2].endswith("on one device")
    assert run("revoke", "therapist-1").stdout == "therapist-1 can sign in again with a new link.\n"
    assert json.loads(run("show", "therapist-1", "--json").stdout)["passkeys"] == []


def test_a_link_and_a_revocation_are_recorded(run, settings):
    run("link", "therapist-1")
    run("revoke", "therapist-1")
    logged = databases.select(settings, "SELECT action, role, via FROM audit_event WHERE kind = 'config' ORDER BY id")
    assert logged == [
        ("enrolment link made: therapist-1", "admin", "cli"),
        ("passkeys and codes revoked: therapist-1", "admin", "cli"),
    ]


def test_the_file_that_sets_up_signing_in_turns_passwords_on_and_off(settings, tmp_path):
    def invoke(*arguments: str):
        env = {"IPT_DATABASE_URL": settings.database_url}
        made = CliRunner().invoke(app, ["organisation", "sign-in", *arguments], env=env)
        assert made.exit_code == 0, made.output
        return made.stdout

    for content, passwords in (("passwords = true", {"passwords": True}), ("", {})):
        (tmp_path / "sign-in.toml").write_text(content, encoding="utf-8")
        invoke("set", "default", "--file", str(tmp_path / "sign-in.toml"))
        assert json.loads(invoke("show", "default", "--json"))["sign_in"] == passwords

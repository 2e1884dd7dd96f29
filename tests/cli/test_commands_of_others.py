"""Every command under IPT_ORGANISATION of another organisation: nothing of ours is printed, and nothing changed.

A command that is new fails here until it has its place: what it is given, and what comes of it.
"""

import asyncio
import datetime as dt
import json
from typing import Any

import pytest
import sqlalchemy as sa
import typer
from api.test_access import JWKS, NOBODY, Row, prepared, token
from support import databases, group_walk, retention
from support.http_client import OPERATOR, running
from support.two_clinics import OTHER, ids_in, other_clinic, rows_of
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.ehr.smart.launchers import Launchers, NewLauncher
from ipt_workflow.service.audit import log_keys

THERAPIST = "--as therapist-1"
ISS = "https://ehr.example/fhir"
SUPERVISOR = "--as supervisor-1 --role supervisor"
NOT_THERE = {  # what names something of ours: to others it never was
    "course show": "{course_id}",
    "course options": f"{{course_id}} {THERAPIST}",
    "course fire": f'{{course_id}} note --data {{{{"text":"x"}}}} {THERAPIST}',
    "course together": f'{{course_id}} [{{{{"trigger":"note","data":{{{{"text":"x"}}}}}}}}] {THERAPIST}',
    "course move-entries": f"{{course_id}} {{other_id}} --entry 2 --reason x {THERAPIST}",
    "proposal show": "{proposal_id}",
    "proposal cosign": "{proposal_id} --as supervisor-1",
    "proposal decline": "{proposal_id} --as supervisor-1",
    "proposal return": "{proposal_id} Why? --as supervisor-1",
    "group show": "{group_id}",
    "group join": f"{{group_id}} {{other_id}} {THERAPIST}",
    "group leave": f"{{group_id}} {{course_id}} --reason moved {THERAPIST}",
    "group facilitators": f"{{group_id}} therapist-2 therapist-3 {SUPERVISOR}",
    "group record": f"{{group_id}} {{course_id}}=5 {THERAPIST}",
    "group sign": f"{{group_id}} {{session_id}} {THERAPIST}",
    "token revoke": "{token_id}",
    "source set": "{source_id} --all-visits",
    "source rotate": "{source_id}",
    "source disable": "{source_id}",
    "source enable": "{source_id}",
    "person show": "{person_id}",
    "person set": "{person_id} --role supervisor",
    "person leave": "{person_id}",
    "person return": "{person_id}",
    "passkey link": "{person_id}",
    "passkey show": "{person_id}",
    "passkey revoke": "{person_id}",
    "system set": "{system_id} --label x",
    "system revoke": "{system_id}",
    "launch remove": "{iss}",
    "cover end": f"{{cover_id}} {THERAPIST}",
    "restriction set": f"{{course_id}} --reason x {SUPERVISOR}",
    "restriction show": "{course_id}",
    "restriction lift": f"{{course_id}} {SUPERVISOR}",
    "emergency start": "{client_ref} --code ETREAT --reason x --as therapist-2",
    "emergency end": "{access_id} --as therapist-3",
    "emergency show": "{access_id}",
    "emergency review": "{access_id} justified --as supervisor-1",
    "mark set": f"hold {{client_ref}} --ground litigation {SUPERVISOR}",
    "mark end": f"{{mark_id}} {SUPERVISOR}",
    "mark show": "{mark_id}",
    "audit unmask": "{course_id} --reason x",
    "client access-report": "{client_ref}",
    "client accounting": "{client_ref}",
    "client erase": "{client_ref} --ground objection --as admin-1",
    "client export": f"{{client_ref}} --ground gdpr-15 --dry-run {THERAPIST}",
    "client disclose": f"{{client_ref}} --to x --what x --purpose HLEGAL {THERAPIST}",
    "retention end": "england --as admin-1",
    "retention erase": "{client_id} --as admin-1",
    "retention keep": "{client_id} --until {tomorrow} --ground claims --as admin-1",
    "retention reap": "access_log 2023-01 --as admin-1",
}
THEIR_OWN = {  # what lists, makes or checks: only what is theirs
    "course list": "",
    "proposal list": "",
    "group list": "",
    "group create": f"Tuesday --protocol {group_walk.PROTOCOL} {THERAPIST}",
    "token create": "--role auditor --name a-2",
    "token list": "",
    "source list": "",
    "source add": "east",
    "import": "{lines}",
    "demo": "",
    "audit verify": "",
    "audit export": "",
    "protocol migrate": "--from ipt@2 --to ipt@3 --plan --file {candidate}",
    "protocol replay": "{protocol}",
    "protocol list": "",
    "protocol show": "ipt",
    "protocol diagram": "ipt",
    "person list": "",
    "person add": "somebody --name Some --role therapist",
    "system list": "",
    "system add": "east --scope system/*.rs --jwks-file {jwks}",
    "launch list": "",
    "launch add": "https://other.example/fhir --client-id ipt",
    "cover list": "",
    "cover arrange": f"therapist-1 therapist-2 --until {{soon}} --reason x {THERAPIST}",
    "emergency list": "",
    "retention examples": "",
    "retention policies": "",
    "retention adopt": "germany-record --as admin-1",
    "retention due": "",
    "retention decisions": "",
    "retention months": "",
    "mark list": "",
    "client erasures": "",
    "log key": "",
    "log show": "",
    "log sign": "",
    "log export": "--to {bundle}",
}
INSTALLATION = {  # for whoever may reach the whole database
    "audit failures": "",
    "db upgrade": "",
    "db check": "",
    "db grants": "ipt_app",
    "organisation create": "east",
    "organisation list": "",
    "organisation show": "south",
    "organisation change": "south --title South",
    "organisation suspend": "south",
    "organisation resume": "south",
    "organisation sign-in set": "south --file {lines}",
    "organisation sign-in show": "south",
    "organisation sign-in check": "south",
    "organisation sign-in link": "south therapist-1 subject-1",
    "organisation sign-in unlink": "south subject-1",
    "witness list": "",
    "witness submit": "",
    "witness request": "partner --to {bundle}",
    "witness take": "{lines}",
    "log resume": "--reason x",
}
NOT_SET_UP = (
    "organisation sign-in",
    "witness",
    "log resume",
)  # nobody signs in there yet, no witness is named, and nothing was lost
RUN_ON = {
    "serve",
    "relay",
    "receive",
    "sandbox",
    "protocol lint",
    "witness key",
    "witness serve",
    "witness show",
    "witness sign",
}  # they serve every organisation, send for them, or read no database


def commands(group: Any, *before: str) -> list[str]:
    found = []
    for name, command in group.commands.items():
        path = (*before, name)
        found += commands(command, *path) if hasattr(command, "commands") else [" ".join(path)]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with two organisations, what the first has of every kind, and an id for every name in the commands."""
    folder = tmp_path_factory.mktemp("two")
    settings = group_walk.settings(folder)
    names: dict[str, str] = {}

    async def fill() -> None:
        async with running(settings) as api:
            await other_clinic(api)
            for needs in (
                "notice",
                "subscription",
                "system",
                "person",
                "cover",
                "emergency",
                "mark",
                "source",
                "proposal",
                "group",
            ):
                names.update(await prepared(api, Row("", needs=needs), f"EHR-{needs}"))
            names["proposal_id"] = (await api.get("/v1/proposals", "supervisor")).json()["items"][0]["id"]
            await Launchers(api.clinic).add(OPERATOR, lambda: NewLauncher(iss=ISS, client_id="ipt"))
            names["token_id"] = (await token(api, "auditor", "auditor-2")).id
            names["client_id"] = (await api.clinic.clients.get("EHR-group")).id
            await retention.adopt(api.clinic, retention.policy())

    asyncio.run(fill())
    lines, protocol = folder / "lines.jsonl", settings.config_dir / "protocols" / f"{group_walk.PROTOCOL}.toml"
    lines.write_text("", encoding="utf-8")
    candidate, shipped = folder / "ipt.toml", (settings.config_dir / "protocols" / "ipt.toml").read_text(encoding="utf-8")
    candidate.write_text(shipped.replace("version = 2", "version = 3", 1), encoding="utf-8")
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps(JWKS), encoding="utf-8")
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).isoformat()
    names |= {"person_id": "ehr-person", "system_id": "ehr-system", "client_ref": "EHR-group", "iss": ISS, "soon": soon}
    names["tomorrow"] = soon[:10]
    return settings, {
        **names,
        "jwks": str(jwks),
        "lines": str(lines),
        "protocol": str(protocol),
        "candidate": str(candidate),
        "bundle": str(folder / "bundle"),
    }


NEVER = dict.fromkeys(
    ("client_id", "course_id", "other_id", "proposal_id", "group_id", "session_id", "cover_id", "access_id", "mark_id"),
    NOBODY,
) | dict.fromkeys(("token_id", "source_id", "person_id", "system_id", "client_ref"), "nobody")


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """Runs a command as the other organisation. Returns what it printed and its exit code."""
    settings, names = made
    url = databases.copy(settings, tmp_path).database_url
    monkeypatch.setenv("IPT_DATABASE_URL", url)
    monkeypatch.setenv("IPT_CONFIG_DIR", str(settings.config_dir))
    monkeypatch.setenv("IPT_ORGANISATION", OTHER)
    keys = tmp_path / "log.keys"
    keys.write_text(log_keys.new_file(), encoding="utf-8")
    keys.chmod(0o600)
    monkeypatch.setenv("IPT_LOG_KEY_FILE", str(keys))
    engine = sa.create_engine(url)

    def kept(organisation: str) -> Any:
        with engine.connect() as connection:
            return rows_of(connection, organisation)

    def run(command: str, arguments: str, never: dict[str, str] | None = None) -> tuple[str, int]:
        before, ours = kept("default"), ids_in(kept("default")) - ids_in(kept(OTHER))
        given = [each.format(**{**names, **(never or {})}) for each in arguments.split()]
        result = CliRunner().invoke(app, [*command.split(), *given])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        printed = result.output
        for each in given:
            printed = printed.replace(each, "")
        assert [each for each in ours if each in printed] == [], printed
        assert kept("default") == before
        return printed, result.exit_code

    yield run
    engine.dispose()


def test_every_command_has_its_place():
    placed = [*NOT_THERE, *THEIR_OWN, *INSTALLATION, *RUN_ON]
    assert sorted(placed) == sorted(commands(typer.main.get_command(app)))


@pytest.mark.matrix(9)
@pytest.mark.parametrize("command", NOT_THERE)
def test_what_is_ours_never_was_at_the_command_line_of_others(run, command):
    output, code = run(command, NOT_THERE[command])
    assert code == 1, output
    assert run(command, NOT_THERE[command], {**NEVER, "iss": "https://nowhere.example/fhir"}) == (output, code)


@pytest.mark.matrix(9)
@pytest.mark.parametrize("command", THEIR_OWN)
def test_a_command_of_others_prints_nothing_of_ours(run, command):
    output, code = run(command, THEIR_OWN[command])
    assert code == 0, output


@pytest.mark.matrix(9)
@pytest.mark.parametrize("command", INSTALLATION)
def test_what_belongs_to_the_installation_changes_nothing_of_ours(run, command):
    output, code = run(command, INSTALLATION[command])
    assert code == 0 or command.startswith(NOT_SET_UP), output

"""`ipt-workflow group`: the verbs of groups without a server."""

import json
import sqlite3
from contextlib import closing

import pytest
from support import databases, group_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

THERAPIST = ("--as", "therapist-1")
SUPERVISOR = ("--as", "supervisor-1", "--role", "supervisor")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with two courses that were started and one that was only referred."""
    settings = group_walk.settings(tmp_path_factory.mktemp("groups"))

    async def fill(clinic):
        return [await clinic.started("EHR-1"), await clinic.started("EHR-2"), await clinic.course("EHR-3")]

    return settings, group_walk.run(settings, fill)


class Cli:
    def __init__(self, path, courses) -> None:
        self.path = path
        self.a, self.b, self.referred = courses

    def __call__(self, *args, code: int = 0, **more):
        result = CliRunner().invoke(app, [str(arg) for arg in args], **more)
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        assert "Traceback" not in result.output
        return result

    def json(self, *args, code: int = 0):
        return json.loads(self(*args, "--json", code=code).stdout)

    def sql(self, statement: str) -> list[tuple]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def group(self, *courses: str) -> str:
        group = self.json("group", "create", "Tuesday", "--protocol", group_walk.PROTOCOL, *THERAPIST)["id"]
        for course in courses:
            self("group", "join", group, course, *THERAPIST)
        return group


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    settings, courses = made
    path = databases.path_of(databases.copy(settings, tmp_path))
    monkeypatch.setenv("IPT_DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("IPT_CONFIG_DIR", str(settings.config_dir))
    return Cli(path, courses)


def test_a_group_is_made_joined_shown_listed_and_left(cli):
    group = cli.group(cli.a, cli.b)
    assert cli.a in cli("group", "show", group).stdout
    shown = cli.json("group", "show", group)
    assert ([member["course"] for member in shown["members"]], shown["facilitators"]) == ([cli.a, cli.b], ["therapist-1"])
    assert "Tuesday" in cli("group", "list").stdout
    assert [(each["id"], each["members"]) for each in cli.json("group", "list")] == [(group, 2)]
    assert "1 members" in cli("group", "leave", group, cli.b, "--reason", "moved", *THERAPIST).stdout
    named = cli.json("group", "facilitators", group, "therapist-2", "therapist-3", *SUPERVISOR)
    assert (named["facilitators"], named["version"]) == (["therapist-2", "therapist-3"], 5)
    assert "no such group" in cli("group", "record", group, f"{cli.a}=3", *THERAPIST, code=1).stderr


def test_a_session_is_recorded_on_every_course_and_signed(cli):
    group = cli.group(cli.a, cli.b)
    recorded = cli.json("group", "record", group, f"{cli.a}=5", f"{cli.b}=3", "--minutes", "90", *THERAPIST)
    assert {each["course"] for each in recorded["accepted"]} == {cli.a, cli.b}
    found = cli.sql(f"SELECT course_id, trigger, via FROM entry WHERE group_session = '{recorded['session']['id']}'")
    assert set(found) == {(course, "record_session", "cli") for course in (cli.a, cli.b)}
    assert "recorded" in cli("group", "show", group).stdout
    summary = json.dumps({"summary": "All spoke."})
    signed = CliRunner().invoke(app, ["group", "sign", group, recorded["session"]["id"], *THERAPIST, "--data", "-"], input=summary)
    session = recorded["session"]["id"]
    assert f"{session}: signed on 1 courses." in signed.stdout
    again = cli.json("group", "sign", group, session, *THERAPIST)
    assert again == {"sessions": {session: {"signed": [], "refused": []}}}
    cli("audit", "verify")


def test_what_a_course_refuses_is_told_and_waits(cli):
    group = cli.group(cli.a, cli.referred)
    result = cli("group", "record", group, f"{cli.a}=5", f"{cli.referred}=5", *THERAPIST)
    assert "recorded on 1 courses, 1 wait." in result.stdout
    assert "attendance_fits_state" in result.stderr
    ((notice, source, status),) = cli.sql("SELECT id, source_id, status FROM notice")
    assert (source, status) == ("group", "waiting")
    assert notice in result.stderr


def test_for_all_or_nobody_a_refusal_exits_1_and_writes_nothing(cli):
    group = cli.group(cli.a, cli.referred)
    result = cli("group", "record", group, f"{cli.a}=5", f"{cli.referred}=5", "--all", *THERAPIST, code=1)
    assert cli.referred in result.stderr
    assert "attendance_fits_state" in result.stderr
    assert cli.sql("SELECT count(*) FROM entry WHERE trigger = 'record_session'") == [(0,)]


def test_what_stands_against_a_line_of_the_log_is_told_by_rule(cli):
    group = cli.group(cli.a)
    assert "group_one_at_a_time" in cli("group", "join", group, cli.a, *THERAPIST, code=1).stderr
    assert "version 2" in cli("group", "join", group, cli.b, "--version", "1", *THERAPIST, code=1).stderr
    assert "reason" in cli("group", "leave", group, cli.a, "--reason", "She moved.", *THERAPIST, code=1).stderr


@pytest.mark.parametrize(
    ("args", "code"),
    (
        (("record", "{group}", "{a}", *THERAPIST), 2),
        (("record", "{group}", "{a}=5", "--details", "{{", *THERAPIST), 2),
        (("record", "{group}", "{a}=9", *THERAPIST), 1),
        (("record", "{group}", "{a}=5", "--occurred-at", "soon", *THERAPIST), 1),
        (("record", "{group}", "{a}=5", *SUPERVISOR), 1),
        (("create", "G", "--protocol", "ipt", *THERAPIST), 1),
        (("create", "Mr Smith", "--protocol", group_walk.PROTOCOL, *THERAPIST), 1),
        (("show", "unknown"), 1),
        (("sign", "{group}", "unknown", *THERAPIST), 1),
    ),
)
def test_what_is_asked_wrongly_writes_nothing(cli, args, code):
    group = cli.group(cli.a)
    before = cli.sql("SELECT count(*) FROM entry") + cli.sql("SELECT version FROM therapy_group")
    cli("group", *(arg.format(group=group, a=cli.a) for arg in args), code=code)
    assert cli.sql("SELECT count(*) FROM entry") + cli.sql("SELECT version FROM therapy_group") == before

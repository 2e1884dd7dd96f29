"""`ipt-workflow person`: the staff, from the command line."""

import json

import pytest
import typer
from typer.testing import CliRunner

from ipt_workflow.cli.main import app


@pytest.fixture
def run(settings):
    def invoke(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, arguments, env={"IPT_DATABASE_URL": settings.database_url})
        assert made.exit_code == code, made.output
        return made

    return invoke


def test_a_person_is_added_changed_leaves_and_comes_back(run):
    run(
        "person",
        "add",
        "new/1",
        "--name",
        "Zoë Brandt",
        "--role",
        "therapist",
        "--supervisor",
        "supervisor-1",
        "--zone",
        "Europe/Vienna",
    )
    assert run("person", "show", "new/1").stdout == "new/1: Zoë Brandt, therapist, supervised by supervisor-1\n"
    token = run("token", "create", "--role", "supervisor", "--name", "new/1").stdout.splitlines()[0]
    assert run("person", "set", "new/1", "--no-supervisor", "--name", "Zoë").stdout == "new/1: Zoë, therapist and supervisor\n"
    assert run("person", "leave", "new/1").stdout == "new/1 has left. Ended: 1 tokens.\n"
    assert token not in run("token", "list").stdout
    shown = run("person", "list", "--status", "left").stdout
    assert "new/1" in shown
    assert "therapist-1" not in shown
    assert "has left" in run("token", "create", "--role", "therapist", "--name", "new/1", code=1).stderr
    back = json.loads(run("person", "return", "new/1", "--json").stdout)
    assert (back["status"], back["roles"], back["zone"]) == ("active", ["therapist", "supervisor"], "Europe/Vienna")
    assert json.loads(run("person", "list", "--role", "supervisor", "--json").stdout)[0]["id"] == "new/1"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    (
        (("add", "a", "--name", "A"), 2, "roles"),
        (("add", "a", "--name", "A", "--role", "ehr"), 2, "roles"),
        (("add", "a ", "--name", "A", "--role", "admin"), 2, "id"),
        (("add", "therapist-1", "--name", "A", "--role", "admin"), 1, "ids are never given to another person"),
        (("add", "a", "--name", "A", "--role", "admin", "--supervisor", "x"), 1, "names nobody who is known here"),
        (("set", "therapist-1"), 2, "Name what to change"),
        (("set", "therapist-1", "--supervisor", "supervisor-1", "--no-supervisor"), 2, "not both"),
        (("set", "x", "--name", "A"), 1, "There is no such person"),
        (("show", "x"), 1, "There is no such person"),
        (("leave", "x"), 1, "There is no such person"),
        (("return", "therapist-1"), 1, "has not left"),
        (("list", "--role", "ehr"), 2, "--role must be one of"),
        (("list", "--status", "gone"), 2, "--status must be"),
    ),
    ids=lambda value: " ".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_in_a_sentence(run, arguments, code, says):
    assert says in run("person", *arguments, code=code).stderr


ANN = "--as therapist-1"
SUPERVISES = "--as therapist-1 --role supervisor"
ACTS = {  # every command in the name of a person, but `import`, which tells what was done elsewhere
    "course options": f"x {ANN}",
    "course fire": f"x note {ANN}",
    "course together": f'x [{{"trigger":"note"}}] {ANN}',
    "course move-entries": f"x y --entry 2 --reason x {ANN}",
    "proposal cosign": f"x {ANN}",
    "proposal decline": f"x {ANN}",
    "proposal return": f"x Why? {ANN}",
    "group create": f"Tuesday --protocol ipt-group {ANN}",
    "group join": f"x y {ANN}",
    "group leave": f"x y --reason moved {ANN}",
    "group facilitators": f"x therapist-2 {SUPERVISES}",
    "group record": f"x y=5 {ANN}",
    "group sign": f"x y {ANN}",
    "cover arrange": f"therapist-1 therapist-2 --until 2030-01-01T00:00:00Z --reason x {ANN}",
    "cover end": f"x {ANN}",
    "restriction set": f"x --reason x {SUPERVISES}",
    "restriction lift": f"x {SUPERVISES}",
    "emergency start": f"x --code ETREAT --reason x {ANN}",
    "emergency end": f"x {ANN}",
    "emergency review": f"x justified {ANN}",
    "client export": f"x --ground gdpr-15 --dry-run {ANN}",
    "client disclose": f"x --to x --what x --purpose HLEGAL {ANN}",
    "client erase": f"x --ground objection {SUPERVISES}",
    "mark set": f"hold x --ground litigation {SUPERVISES}",
    "mark end": f"x {SUPERVISES}",
    "retention adopt": f"germany-record {ANN}",
    "retention end": f"germany-record {ANN}",
    "retention erase": f"x {ANN}",
    "retention keep": f"x --until 2030-12-31 --ground claims {ANN}",
    "retention reap": f"access_log 2023-01 {ANN}",
    "protocol migrate": f"--from ipt@1 --to ipt@2 --apply --courses x --reason x {ANN}",
}


def _acting(group, *before: str) -> list[str]:
    """The commands of a group that have the option `--as`."""
    found = []
    for name, command in group.commands.items():
        path = (*before, name)
        if hasattr(command, "commands"):
            found += _acting(command, *path)
        elif any("--as" in each.opts for each in command.params):
            found.append(" ".join(path))
    return found


def test_every_command_in_the_name_of_a_person_is_tried_here():
    assert {*ACTS, "import"} == {*_acting(typer.main.get_command(app))}


def test_nothing_is_done_in_the_name_of_a_person_who_has_left(run):
    run("token", "create", "--role", "therapist", "--name", "therapist-1")
    run("person", "leave", "therapist-1")
    for command, arguments in ACTS.items():
        assert "--as: names a person who has left" in run(*command.split(), *arguments.split(), code=1).stderr, command
    run("person", "return", "therapist-1")
    assert "no such course" in run("course", "fire", "x", "note", "--as", "therapist-1", code=1).stderr

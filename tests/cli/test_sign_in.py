"""`ipt-workflow organisation sign-in`: how an organisation's people sign in, from the command line."""

import json
from collections.abc import Iterator

import pytest
from support import databases
from support.identity_provider import IdentityProvider, free_port, provider
from support.signing_in import on_database
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

ISSUER = "https://idp.example/realms/clinic"
FILE = f"""
[oidc]
issuer = "{ISSUER}"
client_id = "ipt"
person_claim = "staff_id"
amr = ["mfa"]

[oidc.groups]
"ipt-therapists" = "therapist"
"""
KEY = "mQ2Pgq0yJ1RkXH0LMyBqgQq0m3yq0yJ1RkXH0LMyBqg="


@pytest.fixture
def run(settings, tmp_path):
    def invoke(*arguments: str, code: int = 0, file: str | None = None, given: str | None = None, **environment: str):
        if file is not None:
            (tmp_path / "sign-in.toml").write_text(file)
            arguments = (*arguments, "--file", str(tmp_path / "sign-in.toml"))
        env = {"IPT_DATABASE_URL": settings.database_url, **environment}
        made = CliRunner().invoke(app, ("organisation", "sign-in", *arguments), env=env, input=given)
        assert made.exit_code == code, made.output
        assert "Traceback" not in made.output
        return made

    return invoke


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    with provider(free_port(), "http://localhost:1/sign-in", {}, {"keys": []}) as found:
        yield found


def setup(run, file=FILE, given="a secret\n", **more):
    return run("set", "default", "--offline", "--client-secret-file", "-", file=file, given=given, **more)


def stored(settings):
    return json.loads(databases.select(settings, "SELECT settings FROM organisation")[0][0])


def test_sign_in_is_set_up_from_a_file_and_the_secret_from_elsewhere_and_never_shown(run, settings):
    said = setup(run, IPT_SECRET_KEYS=KEY).stdout
    assert f"default signs in at {ISSUER} as the client ipt." in said
    assert "/o/default/sign-in/callback" in said
    oidc = stored(settings)["sign_in"]["oidc"]
    assert oidc["secret"].startswith("sealed:")
    assert oidc["groups"] == {"ipt-therapists": "therapist"}
    shown = run("show", "default", "--json", IPT_SECRET_KEYS=KEY)
    assert "secret" not in json.loads(shown.stdout)["sign_in"]["oidc"]
    assert databases.select(settings, "SELECT action, role FROM audit_event") == [("sign-in set up", "operator")]


def test_without_a_new_secret_the_one_before_stays_as_long_as_client_and_provider_do(run, settings):
    setup(run)
    run("set", "default", "--offline", file=FILE.replace("staff_id", "sub"))
    assert stored(settings)["sign_in"]["oidc"]["secret"] == "plain:a secret"
    assert stored(settings)["sign_in"]["oidc"]["person_claim"] == "sub"
    for old, new, named in (('"ipt"', '"other"', "client_id"), (ISSUER, "https://other.example", "issuer")):
        refused = run("set", "default", "--offline", file=FILE.replace(old, new), code=1)
        assert f"oidc.{named}: is new, so the client's secret is needed" in refused.stderr


def test_a_private_key_is_made_once_and_only_its_public_half_is_shown(run, settings):
    file = FILE.replace('client_id = "ipt"', 'client_id = "ipt"\nauthentication = "private_key_jwt"')
    run("set", "default", "--offline", file=file)
    first = json.loads(run("show", "default", "--json").stdout)["public_keys"]["keys"]
    assert "d" not in first[0]
    assert "JWKS URI: <public_url>/o/default/sign-in/keys" in run("set", "default", "--offline", file=file).stdout
    assert json.loads(run("show", "default", "--json").stdout)["public_keys"]["keys"] == first
    assert "give no secret" in setup(run, file, code=1).stderr


def test_what_else_an_organisation_sets_stays(run, settings):
    statement = 'UPDATE organisation SET settings = CAST(\'{"other": {"a": 1}}\' AS BLOB)'

    on_database(settings, lambda connection: connection.exec_driver_sql(statement))
    setup(run)
    assert stored(settings)["other"] == {"a": 1}
    run("set", "default", file="")
    assert stored(settings) == {"other": {"a": 1}, "sign_in": {}}
    assert run("show", "default").stdout == "default has no identity provider.\n"
    run("set", "default", file="passwords = true")
    assert run("show", "default").stdout == "Passwords with a second factor are on.\ndefault has no identity provider.\n"


@pytest.mark.parametrize(
    ("file", "says", "code"),
    (
        ("[oidc]\nissuer = 5", "oidc.issuer", 1),
        ("[oidc]\nclient_id = 'x'", "oidc.issuer", 1),
        (FILE.replace("therapist", "doctor"), "oidc.groups", 1),
        (FILE + "[oidc.more]\n", "oidc.more", 1),
        (FILE.replace("[oidc]", "[oidc]\nsecret = 'x'", 1), "does not belong into the file", 1),
        (FILE.replace("https:", "http:"), "must begin with https://", 1),
        (FILE.replace("idp.example", "10.0.0.1"), "holds an address that deliveries may not go to", 1),
        (FILE.replace("[oidc]", "[saml]", 1), "saml", 1),
        ("[oidc", "--file: is not TOML", 2),
    ),
)
def test_a_file_that_is_not_right_says_where_and_changes_nothing(run, settings, file, says, code):
    assert says in setup(run, file, code=code).stderr
    assert stored(settings) == {}


def test_a_file_or_secret_that_cannot_be_read_says_so(run, tmp_path):
    assert "--file cannot be read" in run("set", "default", "--file", str(tmp_path / "none.toml"), code=2).stderr
    assert (
        "--client-secret-file cannot be read"
        in run("set", "default", "--offline", "--client-secret-file", str(tmp_path / "none"), file=FILE, code=2).stderr
    )
    for secret in ("", "\n", "two\nlines\n", "x\x00"):
        assert "--client-secret-file" in setup(run, given=secret, code=2).stderr


@pytest.mark.parametrize("command", ("set", "show", "check"))
def test_an_organisation_that_does_not_exist_is_named_as_such(run, command):
    more = {"file": ""} if command == "set" else {}
    assert "There is no such organisation" in run(command, "nowhere", code=1, **more).stderr


def test_the_provider_is_asked_before_it_is_used(run, running):
    file = FILE.replace(ISSUER, running.issuer)
    arguments = ("set", "default", "--client-secret-file", "-")
    assert "must begin with https://" in run(*arguments, file=file, given="x", code=1).stderr
    development = {"IPT_DEVELOPMENT": "true"}
    run(*arguments, file=file, given="x", **development)
    assert f"{running.issuer} can be used" in run("check", "default", **development).stdout
    running.say(description={"issuer": "https://idp.example"})
    assert "another issuer" in run("check", "default", code=1, **development).stderr
    running.say()
    gone = FILE.replace(ISSUER, f"http://127.0.0.1:{free_port()}")
    assert "cannot be reached" in run(*arguments, file=gone, given="x", code=1, **development).stderr


def test_a_person_is_linked_to_a_subject_once_and_unlinked(run, settings):
    assert "has no identity provider" in run("link", "default", "therapist-1", "alice", code=1).stderr
    setup(run)
    assert "There is no such person" in run("link", "default", "nobody", "alice", code=1).stderr
    assert run("link", "default", "therapist-1", "alice").stdout == "therapist-1 signs in as alice.\n"
    assert "is linked already" in run("link", "default", "therapist-2", "alice", code=1).stderr
    assert databases.select(settings, "SELECT issuer, subject, person FROM person_identity") == [(ISSUER, "alice", "therapist-1")]
    assert json.loads(run("unlink", "default", "alice", "--json").stdout) == {"subject": "alice", "linked": False}
    assert "Nobody is linked" in run("unlink", "default", "alice", code=1).stderr

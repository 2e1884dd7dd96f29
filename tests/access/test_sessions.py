"""Sessions of people: their secrets, when they are over, and who proved lately who they are."""

import datetime as dt

import msgspec
import pytest
from support.http_client import START

from ipt_workflow.access import sessions
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import PersonNeeded, ReauthenticationNeeded

FIVE = dt.timedelta(minutes=5)
SIGNED_IN = Principal(person="therapist-1", role="therapist", via="pages", session="0" * 16, authenticated_at=START)


class Times(msgspec.Struct):
    seen_at: dt.datetime = START
    expires_at: dt.datetime = START + dt.timedelta(hours=10)
    ended_at: dt.datetime | None = None


def test_a_cookie_is_no_access_token_and_an_access_token_no_cookie():
    secret = sessions.new_secret()
    assert sessions.of_cookie(secret.cookie) == secret == sessions.of_access_token(secret.access)
    assert sessions.of_cookie(secret.access) is None
    assert sessions.of_access_token(secret.cookie) is None
    assert secret.secret not in secret.hash


@pytest.mark.parametrize("text", ("", "x", "0" * 16, f"{'0' * 16}.", f"{'0' * 16}.{'a' * 44}", f"{'G' * 16}.{'a' * 43}", "\n"))
def test_what_has_not_the_form_of_a_secret_is_none(text):
    assert sessions.of_cookie(text) is None
    assert sessions.of_access_token(text) is None


def test_two_secrets_are_never_the_same():
    made = {sessions.new_secret().cookie for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize(
    ("session", "minutes", "over"),
    (
        (Times(), 14, False),
        (Times(), 15, True),
        (Times(ended_at=START), 0, True),
        (Times(expires_at=START + FIVE), 4, False),
        (Times(expires_at=START + FIVE), 5, True),
    ),
)
def test_a_session_is_over_when_it_was_ended_not_used_or_has_lasted_long_enough(session, minutes, over):
    now = START + dt.timedelta(minutes=minutes)
    assert sessions.is_over(session, now, dt.timedelta(minutes=15)) is over


def test_who_proved_five_minutes_ago_who_they_are_need_not_do_it_again():
    sessions.require_fresh(SIGNED_IN, START + FIVE, FIVE)
    with pytest.raises(ReauthenticationNeeded, match="within the last 5 minutes"):
        sessions.require_fresh(SIGNED_IN, START + FIVE + dt.timedelta(seconds=1), FIVE)


def test_whose_provider_does_not_say_when_they_signed_in_must_do_it_again():
    with pytest.raises(ReauthenticationNeeded):
        sessions.require_fresh(msgspec.structs.replace(SIGNED_IN, authenticated_at=None), START, FIVE)


def test_a_fixed_token_is_never_a_person():
    token = msgspec.structs.replace(SIGNED_IN, via="api", session=None, authenticated_at=None, token="t")
    with pytest.raises(PersonNeeded):
        sessions.require_fresh(token, START, FIVE)


def test_at_the_command_line_whoever_holds_the_database_acts():
    sessions.require_fresh(Principal(person="operator", role="admin", via="cli"), START, FIVE)

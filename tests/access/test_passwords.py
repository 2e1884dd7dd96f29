"""Passwords with a second factor: what is a good one, and which codes are right."""

import datetime as dt

import argon2
import pyotp
import pytest

from ipt_workflow.access import passwords

NOW = dt.datetime(2026, 1, 5, 9, 0, 10, tzinfo=dt.UTC)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
COSTLY = passwords._hasher


@pytest.fixture(autouse=True)
def _hashes_are_cheap(monkeypatch):
    monkeypatch.setattr(passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def code(seconds: int = 0) -> str:
    return pyotp.TOTP(SECRET).at(NOW + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("fourteen chars", "15 to 128 characters"),
        ("x" * 50 + "abcdefgh" * 10, "15 to 128 characters"),
        ("abababababababab", "6 different characters"),
        ("I am anna-berg of here", "your name"),
        ("the password of Clinic-North", "your name"),
    ],
)
def test_a_weak_password_is_refused_with_what_would_be_right(password, words):
    assert words in " ".join(each.message for each in passwords.faults(password, ["Anna-Berg", "clinic-north", "ann"]))


def test_a_password_needs_no_digits_or_signs_and_may_hold_any_letters():
    assert list(passwords.faults("wohin mit all den Äpfeln", ["Anna-Berg", "ann"])) == []


def test_a_password_matches_its_hash_in_every_form_that_a_keyboard_writes():
    known = passwords.hashed("ein Café in Köln")
    assert known.startswith("$argon2id$")
    assert passwords.matches("ein Cafe\u0301 in Ko\u0308ln", known)
    assert not passwords.matches("ein Cafe in Köln", known)


def test_a_hash_costs_at_least_what_owasp_names():
    assert COSTLY.type is argon2.Type.ID
    assert COSTLY.memory_cost >= 19 * 1024  # KiB
    assert COSTLY.time_cost >= 2


def test_without_a_hash_no_password_matches_although_one_is_compared():
    passwords._nobodys.cache_clear()
    assert not passwords.matches("whatever somebody types", None)
    assert passwords._nobodys.cache_info().currsize == 1


def test_a_code_belongs_to_a_step_of_30_seconds_and_clocks_may_differ_by_one():
    step = int(NOW.timestamp()) // 30
    assert passwords.step_of(SECRET, code(), NOW) == step
    assert passwords.step_of(SECRET, code(-30), NOW) == step - 1
    assert passwords.step_of(SECRET, code(30), NOW) == step + 1
    assert passwords.step_of(SECRET, code(-60), NOW) is None
    assert passwords.step_of(SECRET, code(60), NOW) is None


def test_a_code_may_be_typed_with_spaces_and_must_be_six_digits():
    assert passwords.step_of(SECRET, f" {code()[:3]} {code()[3:]}", NOW) is not None
    assert passwords.step_of(SECRET, code()[:5], NOW) is None
    assert passwords.step_of(SECRET, "１２３４５６", NOW) is None


def test_a_new_secret_has_160_bits_and_an_address_for_an_authenticator_app():
    secret = passwords.new_secret()
    assert passwords.is_secret(secret)
    assert not passwords.is_secret(secret.lower())
    assert passwords.address(secret, "anna") == f"otpauth://totp/ipt_workflow:anna?secret={secret}&issuer=ipt_workflow"

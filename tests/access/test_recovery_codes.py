"""Recovery codes: ten of 120 bits, read however they are typed."""

import re

import pytest

from ipt_workflow.access import recovery_codes
from ipt_workflow.access.tokens import digest


def test_a_person_gets_ten_different_codes_without_letters_that_look_like_digits():
    codes = recovery_codes.new_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"([0-9a-hjkmnp-tv-z]{4}-){5}[0-9a-hjkmnp-tv-z]{4}", code) for code in codes)


def test_the_stored_hash_of_a_code_is_the_sha_256_of_its_letters():
    assert recovery_codes.hash_of("3f7k-90qd-x2mm-a8wz-6hhc-1tpe") == digest("3f7k90qdx2mma8wz6hhc1tpe")


@pytest.mark.parametrize(
    "typed",
    [
        "3F7K90QDX2MMA8WZ6HHCLTPE",
        " 3f7k 90qd x2mm a8wz 6hhc Itpe ",
        "3f7k-9oqd-x2mm-a8wz-6hhc-1tpe",
        "3f7k-9Oqd-x2mm-a8wz-6hhc-1tpe\n",
    ],
)
def test_a_code_is_read_however_it_is_typed(typed):
    assert recovery_codes.hash_of(typed) == recovery_codes.hash_of("3f7k-90qd-x2mm-a8wz-6hhc-1tpe")


@pytest.mark.parametrize(
    "typed",
    ["", "3f7k-90qd-x2mm", "3f7k-90qd-x2mm-a8wu-6hhc-1tpe", "3f7k-90qd-x2mm-a8wz-6hhc-1tpe-0", "３f7k-90qd-x2mm-a8wz-6hhc-1tpe"],
)
def test_what_is_no_code_has_no_hash(typed):
    assert recovery_codes.hash_of(typed) is None

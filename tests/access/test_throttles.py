"""Token buckets by key, and the throttle of attempts to sign in. The present moment is a number of seconds."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.access.throttles import Buckets, SignInThrottle


def taken(buckets: Buckets, key: str, now: float, tries: int = 100) -> int:
    return sum(not buckets.take(key, now) for _ in range(tries))


def test_as_many_are_taken_at_once_as_a_bucket_holds_and_then_as_many_as_time_brings():
    buckets = Buckets(10, 60.0)
    assert taken(buckets, "a", 0.0) == 10
    assert taken(buckets, "a", 5.9) == 0
    assert taken(buckets, "a", 6.0) == 1
    assert taken(buckets, "a", 36.0) == 5
    assert taken(buckets, "a", 1000.0) == 10


def test_who_must_wait_is_told_for_how_long_and_then_takes_one():
    buckets = Buckets(10, 60.0)
    taken(buckets, "a", 100.0)
    wait = buckets.take("a", 102.0)
    assert 3.9 < wait <= 4.0
    assert buckets.wait("a", 102.0) == wait
    assert buckets.take("a", 102.0 + wait) == 0.0


def test_keys_do_not_share_a_bucket():
    buckets = Buckets(3, 60.0)
    taken(buckets, "a", 0.0)
    assert taken(buckets, "b", 0.0) == 3


def test_what_is_left_is_counted_down_and_up_again():
    buckets = Buckets(3, 30.0)
    assert buckets.left("a", 0.0) == 3
    left = []
    for _ in range(4):
        buckets.take("a", 0.0)
        left.append(buckets.left("a", 0.0))
    assert left == [2, 1, 0, 0]
    assert buckets.left("a", 10.0) == 1
    assert buckets.left("a", 500.0) == 3


def test_what_is_given_back_can_be_taken_again():
    buckets = Buckets(3, 30.0)
    taken(buckets, "a", 0.0)
    buckets.give_back("a")
    assert taken(buckets, "a", 0.0) == 1
    buckets.fill("a")
    assert taken(buckets, "a", 0.0) == 3
    buckets.give_back("never seen")
    assert taken(buckets, "never seen", 0.0) == 3


@given(
    st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=120),
    st.integers(1, 8),
    st.floats(0.5, 60),
)
def test_never_more_are_taken_than_a_bucket_and_its_filling_hold(steps, count, seconds):
    buckets, now, took = Buckets(count, seconds), 0.0, []
    for wait, patient in steps:
        now += wait
        told = buckets.take("a", now)
        if told and patient:
            now += told
            told = buckets.take("a", now)
            assert told == 0.0
        if not told:
            took.append(now)
    for first in range(len(took)):
        for last in range(first, len(took)):
            assert last - first + 1 <= count + (took[last] - took[first]) * count / seconds + 0.01


def test_the_keys_are_bounded_and_those_that_wait_are_kept():
    buckets = Buckets(5, 60.0, keys_max=100)
    taken(buckets, "spent", 0.0)
    for number in range(5000):
        buckets.take(f"once-{number}", number * 0.001)
        assert len(buckets) <= 100
    assert taken(buckets, "spent", 5.0) == 0


def test_full_buckets_are_not_kept_when_room_is_needed():
    buckets = Buckets(5, 60.0, keys_max=10)
    for number in range(10):
        buckets.take(f"old-{number}", 0.0)
    buckets.take("new", 100.0)
    assert len(buckets) == 1


def attempts(throttle: SignInThrottle, account: str, address: str, now: float, tries: int) -> int:
    return sum(not throttle.attempt(account, address, now) for _ in range(tries))


def test_five_wrong_passwords_and_then_one_a_minute():
    throttle = SignInThrottle()
    assert attempts(throttle, "default/anna", "192.0.2.1", 0.0, 20) == 5
    assert attempts(throttle, "default/anna", "192.0.2.1", 59.0, 20) == 0
    assert attempts(throttle, "default/anna", "192.0.2.1", 60.0, 20) == 1


def test_attempts_at_the_same_time_are_counted_when_they_begin():
    throttle = SignInThrottle()
    begun = [throttle.attempt("default/anna", "192.0.2.1", 0.0) for _ in range(50)]
    assert Counter(map(bool, begun)) == {False: 5, True: 45}
    assert all(0 < wait <= 60 for wait in begun if wait)


def test_who_signs_in_starts_anew_at_their_address():
    throttle = SignInThrottle()
    assert attempts(throttle, "default/anna", "192.0.2.1", 0.0, 4) == 4
    assert throttle.attempt("default/anna", "192.0.2.1", 0.0) == 0
    throttle.succeeded("default/anna", "192.0.2.1")
    assert attempts(throttle, "default/anna", "192.0.2.1", 0.0, 20) == 5


def test_a_whole_clinic_behind_one_address_signs_in_at_eight():
    throttle = SignInThrottle()
    for number in range(500):
        assert throttle.attempt(f"default/person-{number}", "192.0.2.1", number * 0.01) == 0
        throttle.succeeded(f"default/person-{number}", "192.0.2.1")


def test_one_address_cannot_try_every_account():
    throttle = SignInThrottle()
    tried = sum(attempts(throttle, f"default/person-{number}", "192.0.2.1", 0.0, 1) for number in range(500))
    assert tried == 60


def test_an_own_account_does_not_buy_an_address_more_attempts_at_others():
    throttle = SignInThrottle()
    tried = 0
    for number in range(500):
        if throttle.attempt("default/own", "192.0.2.1", 0.0):
            break
        throttle.succeeded("default/own", "192.0.2.1")
        tried += attempts(throttle, f"default/person-{number}", "192.0.2.1", 0.0, 1)
    assert tried <= 60


def test_many_addresses_cannot_try_one_account_at_will_and_its_owner_waits_three_minutes_at_most():
    throttle = SignInThrottle()
    tried = sum(attempts(throttle, "default/anna", f"192.0.2.{number}", 0.0, 5) for number in range(200))
    assert tried == 20
    assert 0 < throttle.attempt("default/anna", "198.51.100.7", 0.0) <= 180
    assert throttle.attempt("default/anna", "198.51.100.7", 180.0) == 0


def test_who_is_told_to_wait_takes_nothing_from_the_other_counts():
    throttle = SignInThrottle()
    attempts(throttle, "default/anna", "192.0.2.1", 0.0, 1000)
    assert attempts(throttle, "default/berta", "192.0.2.1", 0.0, 20) == 5
    assert attempts(throttle, "default/anna", "192.0.2.2", 0.0, 20) == 5


def test_equal_names_in_two_organisations_are_two_accounts():
    throttle = SignInThrottle()
    attempts(throttle, "default/anna", "192.0.2.1", 0.0, 20)
    assert throttle.attempt("other/anna", "192.0.2.1", 0.0) == 0


def test_the_memory_of_the_throttle_is_bounded():
    throttle = SignInThrottle(keys_max=50)
    for number in range(2000):
        throttle.attempt(f"default/{number}", f"192.0.2.{number}", 0.0)
    assert all(len(each) <= 50 for each in (throttle._pairs, throttle._accounts, throttle._addresses))

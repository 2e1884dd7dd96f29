"""The Social Rhythm Metric: how regular the times of daily activities are in a week (Monk 1990, 1994; domain.md 2.1).

Of each activity done on at least three days: the habitual time is the mean of its times, less those further than 1.5 standard
deviations from the mean of all; every day within 45 minutes of the habitual time is a hit. The score is hits over activities, 0 to 7.

A day has no beginning: ten to midnight and twenty past are half an hour apart. The times of an activity are therefore laid out from the
widest gap between them; where several gaps are as wide, the one that makes most hits. Neither the order of the days nor a shift of all
times by the same amount changes a score. Numbers stay exact, so that they are hashed alike everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

DAY = 24 * 60
LEAST_DAYS = 3
OUTLIER = Fraction(3, 2)  # standard deviations
NEAR = 45  # minutes

# The five of Monk 2002 (F15), and the seventeen of Monk 1990: fifteen and two of the client's own (F16, F17; the second television
# programme from memory).
ACTIVITIES: Mapping[str, tuple[str, ...]] = {
    "srm5": ("out_of_bed", "first_contact", "start_of_day", "dinner", "to_bed"),
    "srm17": (
        "out_of_bed",
        "first_contact",
        "morning_beverage",
        "breakfast",
        "first_outside",
        "start_of_day",
        "lunch",
        "nap",
        "dinner",
        "exercise",
        "evening_snack",
        "evening_news",
        "evening_programme",
        "own_activity_a",
        "own_activity_b",
        "last_home",
        "to_bed",
    ),
}


class Regularity(msgspec.Struct, frozen=True):
    """`hits` of all `activities` that were done often enough."""

    hits: int
    activities: int

    @property
    def score(self) -> Fraction | None:
        """From 0 to 7; None, not 0, where no activity was done often enough."""
        return Fraction(self.hits, self.activities) if self.activities else None


def minutes(clock_time: str) -> int:
    """`HH:MM` as minutes from midnight."""
    hours, _, rest = clock_time.partition(":")
    return int(hours) * 60 + int(rest)


def regularity(days: Iterable[Mapping[str, str]]) -> Regularity:
    """A week's regularity, from each day's times by activity."""
    times: dict[str, list[int]] = {}
    for day in days:
        for activity, at in day.items():
            times.setdefault(activity, []).append(minutes(at))
    kept = [each for each in times.values() if len(each) >= LEAST_DAYS]
    return Regularity(hits=sum(hits(each) for each in kept), activities=len(kept))


def hits(times: Sequence[int]) -> int:
    """On how many days an activity was done near its habitual time."""
    return max(_hits(laid_out) for laid_out in _layouts(times))


def _hits(laid_out: Sequence[int]) -> int:
    habitual = _habitual(laid_out)
    return sum(abs(time - habitual) <= NEAR for time in laid_out)


def _habitual(laid_out: Sequence[int]) -> Fraction:
    """The mean without outliers. The standard deviation is that of a sample (n - 1)."""
    mean = Fraction(sum(laid_out), len(laid_out))
    variance = sum((time - mean) ** 2 for time in laid_out) / (len(laid_out) - 1)
    near = [time for time in laid_out if (time - mean) ** 2 <= OUTLIER**2 * variance]
    return Fraction(sum(near), len(near))


def _layouts(times: Sequence[int]) -> list[list[int]]:
    """The times in a row, beginning after the widest gap around the clock; one row for each of the widest."""
    around = sorted(times)
    gaps = [(later - earlier) % DAY for earlier, later in zip(around[-1:] + around[:-1], around, strict=True)]
    if len(set(around)) == 1:
        return [around]
    widest = max(gaps)
    return [around[i:] + [time + DAY for time in around[:i]] for i, gap in enumerate(gaps) if gap == widest]


def met(days: Iterable[Mapping[str, str]], targets: Mapping[str, tuple[str, int]]) -> tuple[int, int]:
    """How many times met their target (`HH:MM`, and how many minutes early or late are near enough), of how many that have one."""
    apart = [
        (distance(minutes(at), minutes(targets[activity][0])), targets[activity][1])
        for day in days
        for activity, at in day.items()
        if activity in targets
    ]
    return sum(far <= within for far, within in apart), len(apart)


def distance(one: int, other: int) -> int:
    """Minutes between two times of day, the shorter way around the clock."""
    apart = abs(one - other) % DAY
    return min(apart, DAY - apart)

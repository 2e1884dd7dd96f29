"""The sizes of a full run and of a quick one."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Counts of courses and requests; times in seconds.

    Each of `log_courses` has a journal of about twenty entries, for export and verification. Each of `many_courses` has three entries,
    because a million courses must be loaded.
    """

    rounds: int
    seconds: float
    warm_up: float
    courses: int
    many_courses: int
    page_courses: int
    log_courses: int
    slow: float  # a step that takes longer than this is not repeated


FULL = Sizes(
    rounds=5, seconds=5, warm_up=1, courses=1000, many_courses=1_000_000, page_courses=100_000, log_courses=40_000, slow=60
)
QUICK = Sizes(
    rounds=2, seconds=1.5, warm_up=0.5, courses=1000, many_courses=100_000, page_courses=10_000, log_courses=20_000, slow=8
)

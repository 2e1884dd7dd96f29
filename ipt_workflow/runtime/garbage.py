"""When Python looks for cycles of objects that nothing holds any more.

What is loaded at the start stays, and neither a request nor a page of rows leaves many cycles behind. Looking for them as often as by
default costs a sixth of a busy service's work, and a fifth of checking a journal.
"""

import gc

THRESHOLDS = (50_000, 20, 100)


def collect_seldom() -> None:
    """To be called before a process loads what it needs, which makes little garbage, and again when it has: that stays."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

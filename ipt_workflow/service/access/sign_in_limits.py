"""What bounds the attempts of a process to sign in, for all organisations."""

import asyncio
import time
from collections.abc import Callable

from ipt_workflow.access.throttles import SignInThrottle

HASHES_AT_ONCE = 2  # each takes 64 MiB and a processor


class SignInLimits:
    """How many attempts there may be, and how many passwords are hashed at once. `monotonic` is the throttle's clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.throttle = SignInThrottle()
        self.hashes = asyncio.Semaphore(HASHES_AT_ONCE)
        self.monotonic = monotonic

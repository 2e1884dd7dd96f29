"""A clinic whose people sign in by passkeys, recovery codes and passwords."""

from collections.abc import Callable
from typing import Any

import pytest
from support import local_sign_in

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings


@pytest.fixture
def local(settings: Settings, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a coroutine function with a `Local`."""
    local_sign_in.hashes_cost_little(monkeypatch)

    def run(test: Any, **changed: Any) -> None:
        local_sign_in.run(settings, clock, test, **changed)

    return run

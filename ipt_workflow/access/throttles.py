"""How often something may be done: token buckets by key, and the throttle of attempts to sign in.

Buckets are kept in memory, each process its own. The present moment is a parameter: seconds of a clock that never goes back, such as
`time.monotonic()`.
"""

KEYS_MAX = 10_000
ROUNDING = 1e-6  # seconds: who waits long enough is not refused for an error of floats


class Buckets:
    """For each key a bucket that holds `count` at most, and fills evenly: as many again over `seconds`.

    A key is kept as the moment at which its bucket will be full (the generic cell rate algorithm). A full bucket needs no keeping, so the
    keys are bounded without loss. Of more than `keys_max` that are not full, those that are nearest to it are forgotten.
    """

    def __init__(self, count: int, seconds: float, keys_max: int = KEYS_MAX) -> None:
        self.count = count
        self._interval = seconds / count
        self._slack = seconds - self._interval
        self._bound = self._slack + ROUNDING
        self._keys_max = keys_max
        self._full: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full)

    def take(self, key: str, now: float) -> float:
        """Takes one. Returns 0, or the seconds until there is one to take: then nothing is taken."""
        full = self._full.get(key, now)
        ahead = full - now
        if ahead > self._bound:
            return ahead - self._slack
        if ahead <= 0.0:
            full = now
            if len(self._full) >= self._keys_max:
                self._forget(now)
        self._full[key] = full + self._interval
        return 0.0

    def give_back(self, key: str) -> None:
        """Puts one back that was taken."""
        if key in self._full:
            self._full[key] -= self._interval

    def fill(self, key: str) -> None:
        self._full.pop(key, None)

    def left(self, key: str, now: float) -> int:
        """How many can be taken at once."""
        ahead = self._full.get(key, now) - now
        return self.count if ahead <= 0.0 else max(0, int((self._bound + self._interval - ahead) / self._interval))

    def wait(self, key: str, now: float) -> float:
        """The seconds until there is one to take."""
        ahead = self._full.get(key, now) - now
        return ahead - self._slack if ahead > self._bound else 0.0

    def _forget(self, now: float) -> None:
        """Makes room: forgets full buckets, and at least a quarter of all."""
        kept = sorted((each for each in self._full.items() if each[1] > now), key=lambda each: each[1], reverse=True)
        self._full = dict(kept[: self._keys_max * 3 // 4])


class SignInThrottle:
    """Bounds attempts to prove who one is: by account and address together, by account from everywhere, and by address for all accounts.

    An attempt counts when it begins, so that many at the same time are no way around it. A success gives back what it took, and forgets
    the failures of this account at this address. Others who fail at an account can slow its owner, and never lock them out for good.
    An account is counted whether or not it exists, so answers for both are alike. An account is named within its organisation.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._pairs = Buckets(5, 300.0, keys_max)  # 5 at once, then one a minute
        self._accounts = Buckets(20, 3600.0, keys_max)  # 20 at once, then one in three minutes
        self._addresses = Buckets(60, 600.0, keys_max)  # 60 at once, then one in ten seconds: a clinic may have one address

    def attempt(self, account: str, address: str, now: float) -> float:
        """Counts an attempt. Returns 0 if it may go on, otherwise the seconds to wait: then it is not counted."""
        buckets = self._of(account, address)
        wait = max(each.wait(key, now) for each, key in buckets)
        if wait:
            return wait
        for each, key in buckets:
            each.take(key, now)
        return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """The attempt that was counted proved who it was."""
        (_, pair), *shared = self._of(account, address)
        self._pairs.fill(pair)
        for each, key in shared:
            each.give_back(key)

    def _of(self, account: str, address: str) -> tuple[tuple[Buckets, str], ...]:
        return (self._pairs, f"{address}\n{account}"), (self._accounts, account), (self._addresses, address)

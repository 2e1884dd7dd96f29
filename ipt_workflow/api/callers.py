"""Where a request comes from: the other end of its connection, or what a known proxy says."""

import ipaddress
from typing import Any

from ipt_workflow.runtime.settings import listed

UNKNOWN = "unknown"
FORWARDED = b"x-forwarded-for"


class Callers:
    """Finds the addresses of callers. `proxy_networks` is the setting."""

    def __init__(self, proxy_networks: str) -> None:
        self._proxies = tuple(ipaddress.ip_network(each) for each in listed(proxy_networks))

    def address(self, scope: Any) -> str:
        """The caller's address. Of what a proxy forwarded, the last address that is no proxy's: earlier ones the caller may have made up."""
        found = _ip((scope.get("client") or (UNKNOWN,))[0])
        if found is None:
            return UNKNOWN
        if self._is_proxy(found):
            forwarded = b",".join(value for name, value in scope["headers"] if name == FORWARDED).decode("latin-1")
            for each in reversed(forwarded.split(",")):
                before = _ip(each.strip())
                if before is None:
                    break
                found = before
                if not self._is_proxy(found):
                    break
        return str(found)

    def network(self, scope: Any) -> str:
        """The caller's address; of IPv6 its network of 64 bits, in which one caller may have every address."""
        address = self.address(scope)
        return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address

    def _is_proxy(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._proxies)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; one of IPv4 as such, also where a socket of both kinds writes it as IPv6."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found

"""The addresses, ports and URLs that deliveries may go to.

The sender checks an address when it connects, not when a URL is registered, because a name can change its address in between. The
table lists every range that is not the public internet; what Python does not call global is denied too. This is the one place for all
that the service connects to, except its database. IPv4 inside IPv6 is checked as IPv4. An operator may allow private networks,
such as a hospital's.
"""

import ipaddress
import re
from urllib.parse import urlsplit

import msgspec

from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.runtime.settings import Settings, listed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DENIED_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "255.255.255.255/32",
)  # fmt: skip
DENIED_V6 = (
    "::/96",  # the unspecified address, loopback, and the deprecated form of IPv4 in IPv6
    "::ffff:0:0:0/96",  # IPv4 that a translator reads out of IPv6
    "2001::/23",  # protocols of the IETF: Teredo, ORCHID, benchmarks
    "fe80::/10", "fec0::/10", "fc00::/7", "ff00::/8", "2001:db8::/32", "3fff::/20", "100::/64", "100:0:0:1::/64", "2002::/16", "64:ff9b::/96",
    "64:ff9b:1::/48", "5f00::/16",
)  # fmt: skip
LOOPBACK = ("127.0.0.0/8", "::1/128")
URL_MAX = 2000
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?", re.IGNORECASE
)
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)  # some resolvers read these as IPv4 addresses
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_denied = tuple(ipaddress.ip_network(each) for each in (*DENIED_V4, *DENIED_V6))


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where deliveries may go. `networks` are allowed although the table denies them. If `ports` is None, any port is allowed."""

    networks: tuple[Network, ...] = ()
    ports: frozenset[int] | None = frozenset({443})
    plain_http: bool = False

    def allows(self, text: str) -> bool:
        """Whether the sender may connect to an address. False for text that is not an address."""
        try:
            address = canonical(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not any(address in network for network in _denied)

    def check(self, url: str, where: str = "url") -> None:
        """Checks a URL without looking up its name. Raises CommandInvalid."""
        fault = self._fault(url)
        if fault:
            raise CommandInvalid([Fault(where, fault)])

    def may_try(self, url: str) -> bool:
        return self._fault(url) is None

    def _fault(self, url: str) -> str | None:
        if len(url) > URL_MAX or not _VISIBLE.fullmatch(url) or "\\" in url:
            return f"must have at most {URL_MAX} visible ASCII characters and no backslash"
        try:
            parts = urlsplit(url)
            port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
        except ValueError:
            return "must be a URL; its host or port cannot be read"
        if parts.scheme != "https" and not (self.plain_http and parts.scheme == "http"):
            return "must begin with https://"
        if "@" in parts.netloc or parts.fragment or "#" in url:
            return "must not hold a user, password or fragment"
        if port == 0 or (self.ports is not None and port not in self.ports):
            return f"must use port {' or '.join(str(each) for each in sorted(self.ports or {443}))}"
        return self._host_fault(parts.netloc, parts.hostname or "")

    def _host_fault(self, netloc: str, host: str) -> str | None:
        literal = _literal(host)
        if literal is None:
            named = _HOST.fullmatch(host) and not _NUMBER.fullmatch(host) and "[" not in netloc
            return None if named else "must hold a host name in ASCII, or an address in its usual form"
        if netloc.startswith("[") != (literal.version == 6):
            return "must hold brackets around an IPv6 address, and around nothing else"
        return (
            None
            if self.allows(host)
            else "holds an address that deliveries may not go to; use a public address, or ask the operator to allow its network"
        )


def reach_of(settings: Settings) -> Reach:
    """Where the settings allow deliveries to go."""
    networks = (*listed(settings.delivery_networks), *(LOOPBACK if settings.development else ()))
    return Reach(
        networks=tuple(ipaddress.ip_network(each) for each in networks),
        ports=None if settings.development else frozenset(int(each) for each in listed(settings.delivery_ports)),
        plain_http=settings.development,
    )


def canonical(address: Address) -> Address:
    """The address; IPv4 inside IPv6 becomes IPv4."""
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

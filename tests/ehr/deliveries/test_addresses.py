"""Where deliveries may go: the table, from both sides, and the URLs that are accepted."""

import csv
import ipaddress
import random
from pathlib import Path

import pytest

from ipt_workflow.ehr.deliveries.addresses import LOOPBACK, Reach
from ipt_workflow.errors import CommandInvalid

DENIED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 :: ::1 ::127.0.0.1 fe80::1 fe80::1%eth0 febf::1 fec0::1 fc00::1 fdff::1 ff02::1 2001:db8::1 3fff::1 3fff:fff::1 100::1
2002::1 2002:7f00:1:: 64:ff9b::7f00:1 64:ff9b:1::1 5f00::1 2001::1 2001:2::1 2001:20::1 2001:1ff:ffff::1 ::ffff:0:8.8.8.8 100:0:0:1::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:7f00:1
"""
ALLOWED = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255
172.32.0.0 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0
203.0.112.255 203.0.114.0 223.255.255.255 2001:4860:4860::8888 ::ffff:8.8.8.8 2606:4700:4700::1111 2001:db7:ffff::1 2001:db9:: 64:ff9c::1
"""
PUBLIC = Reach()
REGISTRY = Path(__file__).with_name("special_purpose.csv")
JUDGED_INSIDE = "::ffff:0:0/96"  # IPv4 in IPv6 is judged as IPv4
REACHED = {"192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"}  # services on the public internet


@pytest.mark.parametrize("address", DENIED.split())
def test_an_address_that_is_not_of_the_public_internet_is_denied(address):
    assert not PUBLIC.allows(address)


@pytest.mark.parametrize("address", ALLOWED.split())
def test_an_address_of_the_public_internet_is_allowed(address):
    assert PUBLIC.allows(address)


def special_purpose() -> list[dict[str, str]]:
    with REGISTRY.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return [row for row in rows if row["block"] != JUDGED_INSIDE]


@pytest.mark.parametrize("row", special_purpose(), ids=lambda row: row["block"])
def test_every_block_of_the_special_purpose_registries_is_denied_but_services_of_the_public_internet(row):
    block = ipaddress.ip_network(row["block"])
    if row["block"] in REACHED:
        assert row["reachable"] == "True"
    places = {0, block.num_addresses - 1, *(random.Random(row["block"]).randrange(block.num_addresses) for _ in range(5))}
    assert {PUBLIC.allows(str(block[place])) for place in places} == {row["block"] in REACHED}


def test_what_python_does_not_call_global_is_denied():
    dice = random.Random(21)
    addresses = [ipaddress.IPv4Address(dice.getrandbits(32)) for _ in range(3000)]
    addresses += [ipaddress.IPv6Address(dice.getrandbits(128)) for _ in range(3000)]
    assert any(not each.is_global for each in addresses)
    assert [each for each in addresses if PUBLIC.allows(str(each)) and not each.is_global] == []


@pytest.mark.parametrize("text", ("", "localhost", "127.1", "0x7f000001", "1.1.1.1.1", "[::1]"))
def test_what_is_no_address_is_denied(text):
    assert not PUBLIC.allows(text)


def test_an_operator_may_let_in_networks_of_their_own_and_nothing_beside_them():
    reach = Reach(networks=tuple(ipaddress.ip_network(each) for each in ("10.1.0.0/16", "fd00::/32")))
    assert [reach.allows(each) for each in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "1.1.1.1")] == [True] * 4
    assert [reach.allows(each) for each in ("10.2.0.1", "fd00:1::1", "127.0.0.1")] == [False] * 3


@pytest.mark.parametrize(
    "url",
    ("https://ehr.example/hooks", "https://ehr.example", "https://ehr.example:443/a?b=c", "https://8.8.8.8/x", "https://[2001:4860:4860::8888]/x",
     "https://xn--bcher-kva.example/", "https://a_b.example./"),
)  # fmt: skip
def test_a_public_https_url_is_taken(url):
    PUBLIC.check(url)
    assert PUBLIC.may_try(url)


@pytest.mark.parametrize(
    ("url", "why"),
    (
        ("http://ehr.example/", "https://"),
        ("ftp://ehr.example/", "https://"),
        ("ehr.example", "https://"),
        ("", "visible"),
        ("https://ehr.example/ x", "visible"),
        ("https://bücher.example/", "visible"),
        ("https://ehr.example\\@127.0.0.1/", "backslash"),
        ("https://" + "a" * 2000, "2000"),
        ("https://user@ehr.example/", "a user"),
        ("https://user:secret@ehr.example/", "a user"),
        ("https://ehr.example/#here", "fragment"),
        ("https://ehr.example:8080/", "port 443"),
        ("https://ehr.example:0/", "443"),
        ("https://ehr.example:99999/", "cannot be read"),
        ("https:///path", "host"),
        ("https://-ehr.example/", "host"),
        ("https://a..b/", "host"),
        ("https://[ehr.example]/", "cannot be read"),
        ("https://[v1.ehr]/", "host"),
        ("https://127.0.0.1/", "may not go"),
        ("https://[::1]/", "may not go"),
        ("https://[::ffff:127.0.0.1]/", "may not go"),
        ("https://169.254.169.254/latest/meta-data", "may not go"),
        ("https://2130706433/", "usual form"),
        ("https://0x7f.1/", "usual form"),
        ("https://127.1/", "usual form"),
    ),
)
def test_any_other_url_is_refused_with_the_reason(url, why):
    with pytest.raises(CommandInvalid, match=why):
        PUBLIC.check(url)
    assert not PUBLIC.may_try(url)


def test_plain_http_loopback_and_any_port_are_for_rehearsals_alone():
    rehearsal = Reach(networks=tuple(ipaddress.ip_network(each) for each in LOOPBACK), ports=None, plain_http=True)
    for url in ("http://127.0.0.1:9000/", "http://[::1]:9000/", "http://localhost:9000/", "https://ehr.example:9000/"):
        rehearsal.check(url)
    with pytest.raises(CommandInvalid, match="may not go"):
        rehearsal.check("http://192.168.0.1/")

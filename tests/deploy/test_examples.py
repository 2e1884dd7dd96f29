"""What the examples of proxies let through: TLS of today alone, and no answer over plain HTTP."""

import re
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
LISTENS = re.compile(r"^\s*(?:listen|bind)\s+(.+?);?\s*$", re.MULTILINE)
OLDEST = {"nginx.conf": "ssl_protocols TLSv1.2 TLSv1.3;", "haproxy.cfg": "ssl-default-bind-options ssl-min-ver TLSv1.2"}


@pytest.mark.parametrize("name", OLDEST)
def test_a_proxy_speaks_tls_1_2_or_later_and_nothing_else(name):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert OLDEST[name] in text
    places = LISTENS.findall(text)
    assert places
    assert [each for each in places if "443" not in each or "ssl" not in each] == []


@pytest.mark.parametrize("name", OLDEST)
def test_a_proxy_redirects_nobody_and_tells_the_service_the_address_that_it_saw(name):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert re.findall(r"return 30\d|redirect (?:scheme|location|prefix)|rewrite ", text) == []
    assert re.search(r"X-Forwarded-For (\$remote_addr|%\[src\])", text)

"""A real OpenID Connect provider (npm `oidc-provider`) on a port of its own, and a browser without scripts that signs in at it."""

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Self

import httpx

HERE = Path(__file__).parents[1] / "web" / "node"
SECRET = "a secret of + 32 bytes % or more 0000"  # with characters that a Basic header must encode
START_SECONDS = 60


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class IdentityProvider:
    """The provider behind an issuer. `say` changes what it answers from now on; `sign` gives a token by one of its keys."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.http = httpx.Client(base_url=issuer, timeout=20)

    def say(self, **otherwise: Any) -> None:
        """Its `keys`, parts of its `description`, claims of its `token`, or a whole `body` of its token endpoint; nothing is as it is."""
        self.http.post("/control/say", json=otherwise).raise_for_status()

    def sign(self, claims: dict[str, Any], key: str = "ec", **header: str) -> str:
        return str(self.http.post("/control/sign", json={"claims": claims, "key": key, "header": header}).json())

    def calls(self, path: str) -> int:
        """How often a path was called."""
        return int(self.http.post("/control/calls").json().get(path, 0))


@contextmanager
def provider(port: int, sign_in: str, people: dict[str, Any], client_keys: dict[str, Any]) -> Iterator[IdentityProvider]:
    """Runs the provider for a service whose sign-in has this address."""
    node = Path(sys.executable).with_name("node")
    assert node.exists(), "node is not installed: make install"
    assert (HERE / "node_modules").is_dir(), "the identity provider is not installed: make provider"
    command = [node, "provider.mjs", str(port), sign_in, json.dumps(client_keys), json.dumps(people)]
    process = subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines))
    reader.start()
    found = IdentityProvider(f"http://127.0.0.1:{port}")
    try:
        while (line := lines.get(timeout=START_SECONDS)).strip() != "up":
            assert process.poll() is None, line
        yield found
    finally:
        found.http.close()
        assert process.stdin
        process.stdin.close()  # it ends when its input does
        process.wait()
        reader.join()
        if process.stdout:
            process.stdout.close()


def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    """Reads what the process says, so that it never waits for a reader."""
    assert process.stdout
    for line in process.stdout:
        lines.put(line)


class Browser:
    """Cookies, redirects and forms as a browser keeps them, without scripts. It treats http://localhost as secure, as browsers do."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies: dict[str, dict[str, str]] = {}  # by host
        self.seen: list[str] = []  # every URL
        self._http = httpx.Client(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, url: str, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """One request, without following what it answers."""
        url = urllib.parse.urljoin(self.address, url)
        host = urllib.parse.urlsplit(url).hostname or ""
        kept = self.cookies.setdefault(host, {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if kept:
            named.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in kept.items()))
        self.seen.append(url)
        answer = self._http.request(method, url, data=data, headers=named)
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0" or not morsel.value:
                    kept.pop(name, None)
                else:
                    kept[name] = morsel.value
        return answer

    def go(self, url: str, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """A link or a form, and every redirect after it."""
        answer = self.send("GET" if data is None else "POST", url, data, **headers)
        for _ in range(20):
            if answer.status_code not in {301, 302, 303}:
                return answer
            answer = self.send("GET", urllib.parse.urljoin(str(answer.url), answer.headers["location"]))
        raise AssertionError(f"too many redirects: {self.seen[-20:]}")

    def form(self, page: httpx.Response, action: str, **fields: str) -> dict[str, str]:
        """The fields of the form of a page that goes to an action, with these values beside its hidden ones."""
        forms = re.findall(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', page.text, re.DOTALL)
        found = [body for target, body in forms if target.endswith(action)]
        assert found, (action, [target for target, _ in forms])
        for body in found:
            hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body))
            if fields.items() <= hidden.items() or len(found) == 1:
                return {**hidden, **fields}
        raise AssertionError(f"no form to {action} has {fields}")

    def submit(self, page: httpx.Response, action: str, **fields: str) -> httpx.Response:
        return self.go(action, self.form(page, action, **fields), Sec_Fetch_Site="same-origin")

    def at_provider(self, page: httpx.Response, who: str) -> httpx.Response:
        """Fills in the provider's pages, up to the redirect that brings the answer back. Returns that answer, not yet followed."""
        answer = page
        while "/interaction/" in str(answer.url):
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            action = re.search(r'action="([^"]+)"', answer.text)
            assert prompt, answer.text
            assert action, answer.text
            fields = {"prompt": prompt[1], "login": who, "password": "x"}
            answer = self._to_the_end(self.send("POST", urllib.parse.urljoin(str(answer.url), action[1]), fields))
            if "Submitting Callback" in answer.text:  # somebody else was signed in there; a script would send this form
                action = re.search(r'action="([^"]+)"', answer.text)
                assert action
                hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
                answer = self._to_the_end(self.send("POST", action[1], hidden))
        return answer

    def _to_the_end(self, answer: httpx.Response) -> httpx.Response:
        """Follows redirects of the provider, up to one that comes back here."""
        while answer.status_code in {302, 303}:
            target = urllib.parse.urljoin(str(answer.url), answer.headers["location"])
            if target.startswith(self.address):
                break
            answer = self.send("GET", target)
        return answer

    def answer_for(self, who: str, start: str) -> str:
        """The URL with which the provider's answer comes back, not yet visited."""
        answer = self.at_provider(self._to_the_end(self.send("GET", start)), who)
        return urllib.parse.urljoin(str(answer.url), answer.headers["location"])

    def sign_in(self, who: str, start: str) -> httpx.Response:
        """Signs in at the provider, and returns the page that it ends at."""
        return self.go(self.answer_for(who, start))

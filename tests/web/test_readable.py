"""A form is taken only as pages send it; every other one is refused before anybody reads it."""

import pytest
from support.page_client import Pages

from ipt_workflow.web.readable import PAIRS_MAX

URL_ENCODED = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="zone"'


async def sent(site: Pages, path: str, content: bytes, kind: str = URL_ENCODED):
    """The answer to a body in the name of somebody who is signed in, with their token against forgery in the header."""
    signed_in = await site.signed_in()
    page = await site.get("/me", signed_in.secret.cookie)
    token = page.cookies["__Host-csrf"]
    site.client.cookies.clear()
    cookies = f"__Host-ipt={signed_in.secret.cookie}; __Host-csrf={token}"
    headers = {"Cookie": cookies, "Sec-Fetch-Site": "same-origin", "Content-Type": kind, "X-CSRFToken": token}
    return await site.client.post(path, content=content, headers=headers)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data; boundary=x", PART + b"\r\n\r\n\xff\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", PART + b"\r\nContent-Type: text/plain; charset=none\r\n\r\na\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", PART.replace(b"zone", b"_csrf_token") + b'; filename="a"\r\n\r\na\r\n--x--\r\n'),
        ("multipart/form-data", b""),
        ("application/json", b'{"zone": "UTC"}'),
        ("text/plain", b"zone=UTC"),
    ],
)
def test_what_no_form_of_a_page_is_sent_as_is_refused(browse, kind, content):
    async def test(site):
        answer = await sent(site, "/me", content, kind)
        assert (answer.status_code, answer.headers["content-type"][:9]) == (415, "text/html")

    browse(test)


@pytest.mark.parametrize("content", [b"zone=a%00b", b"zone=\x00", b"a%00=1"])
@pytest.mark.parametrize("path", ["/me", "/courses/search", "/supervision/records/new", "/o/default/sign-in/recovery-code"])
def test_a_nul_is_refused_by_every_form(browse, path, content):
    async def test(site):
        assert (await sent(site, path, content)).status_code == 400

    browse(test)


@pytest.mark.parametrize(("pairs", "status"), [(PAIRS_MAX, 422), (PAIRS_MAX + 1, 413)])
def test_a_form_has_at_most_so_many_pairs(browse, pairs, status):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        assert (await sent(site, f"/courses/{course}/do/note", b"&".join([b"a="] * pairs))).status_code == status

    browse(test)


@pytest.mark.parametrize("token", ["é", "a" * 64 + "é" * 64, ""])
def test_a_token_that_nobody_made_is_forged(browse, token):
    async def test(site):
        signed_in = await site.signed_in()
        for field, kept in ((token, "a" * 128), ("a" * 128, token), (token, token)):
            cookies = f"__Host-ipt={signed_in.secret.cookie}; __Host-csrf={kept}".encode("latin-1")
            headers = {"Cookie": cookies, "Sec-Fetch-Site": "same-origin"}
            answer = await site.client.post("/me", data={"_csrf_token": field}, headers=headers)
            assert answer.status_code == 403

    browse(test)

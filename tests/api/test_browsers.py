"""What a browser may not do with an answer: show it as a page, frame it, keep it, or read it for another site."""

import pytest

PATHS = (
    "/",
    "/v1/courses",
    "/v1/courses/",
    "/v1/courses/unknown",
    "/v1/nothing",
    "/health/live",
    "/metrics",
    "/schema/openapi.json",
    "//v1/courses",
)


@pytest.mark.parametrize("method", ("GET", "POST", "OPTIONS", "TRACE"))
def test_no_answer_is_shown_as_a_page_or_read_by_another_site(api, method):
    async def test(api):
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        for path in PATHS:
            answer = await api.client.request(method, path, headers={**api.headers("supervisor"), **asked})
            assert not answer.is_redirect, path
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert [name for name in answer.headers if name.startswith("access-control-") or name == "set-cookie"] == []
            assert (method == "TRACE") <= (answer.status_code in {404, 405}), path

    api(test)

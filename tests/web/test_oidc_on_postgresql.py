"""The way in and out once more on PostgreSQL, where row-level security hides every row of which nobody is known yet."""

import pytest
from support import signing_in
from support.signing_in import START


@pytest.mark.rest
def test_a_person_signs_in_and_out_under_row_level_security(postgres, tmp_path):
    with signing_in.site(tmp_path, postgres) as site, site.browser() as browser:
        page = browser.sign_in("alice", START)
        assert "therapist-1, as therapist" in page.text
        token = browser.submit(browser.go("/me"), "/access-token").text.partition('id="access-token">')[2].partition("<")[0]
        answer = browser.send("GET", "/v1/sessions", Authorization=f"Bearer {token}", Cookie="")
        assert len(answer.json()["items"]) == 1
        assert "refresh" in browser.submit(browser.go("/"), "/sign-out").headers
        assert browser.send("GET", "/v1/sessions", Authorization=f"Bearer {token}", Cookie="").status_code == 401
        assert str(browser.go("/").url).endswith("/o/default/sign-in")

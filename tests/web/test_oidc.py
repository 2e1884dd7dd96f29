"""Signing in at a real identity provider over loopback."""

from support.signing_in import START


def test_somebody_known_signs_in_with_their_groups_role(site):
    with site.browser() as browser:
        page = browser.sign_in("alice", START)
        print(page.text, page.status_code, browser.seen)
        assert page.status_code == 200
        assert "therapist-1" in page.text

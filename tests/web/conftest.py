"""A service whose people sign in at a real identity provider, for all tests of a file."""

from collections.abc import Iterator

import pytest
from support import signing_in
from support.signing_in import Site


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with signing_in.site(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def site(running_site: Site) -> Site:
    """The service, whose provider says the truth and whose settings are the usual ones, whatever a test before has changed."""
    running_site.provider.say()
    running_site.configure()
    return running_site

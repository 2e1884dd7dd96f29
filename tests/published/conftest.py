"""Each module here tells one published course in `story`, which is played over HTTP and imported."""

import pytest
from support import published
from support.published import Played


@pytest.fixture
def over_http(request, tmp_path) -> Played:
    return published.over_http(request.module.story(), tmp_path)


@pytest.fixture
def by_import(request, tmp_path_factory) -> Played:
    return published.by_import(request.module.story(), tmp_path_factory.mktemp("import"))

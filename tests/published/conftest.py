"""Each module here tells one published course in `story`, which is played over HTTP and imported."""

import pytest
from support import published
from support.published import Played

NEVER = {"overdue", "blocked", "unsigned", "deviation", "unassigned", "contradicted"}  # at the end of a day of good work


@pytest.fixture
def over_http(request, tmp_path) -> Played:
    played = published.over_http(request.module.story(), tmp_path)
    asked = [(key, day, kinds & NEVER) for key, days in played.asked.items() for day, kinds in days.items() if kinds & NEVER]
    assert asked == []
    return played


@pytest.fixture
def by_import(request, tmp_path_factory) -> Played:
    return published.by_import(request.module.story(), tmp_path_factory.mktemp("import"))

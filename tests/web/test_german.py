"""Whoever reads German reads no English of the files of protocols and scales: what they are called, and what is asked."""

import pytest
from support.http_client import Api

from ipt_workflow.web import language

PAGES = (
    *(
        "/courses",
        "/courses/new",
        "/groups/new",
        "/courses/{}",
        "/courses/{}/history",
        "/courses/{}/session",
        "/courses/{}/paper/summary",
    ),
    *("/courses/{}/do/start", "/courses/{}/do/agree_contract", "/courses/{}/do/record_measure", "/courses/{}/do/change_protocol"),
)


async def measured(site) -> tuple[Api, str]:
    api = await site.api()
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    assert (await api.fire(course, "record_measure", {"instrument": "phq9", "items": [1] * 9})).status_code == 201
    return api, course


def english(site) -> set[str]:
    """The titles and questions that German has other words for."""
    known = [text for each in site.clinic.protocols for text in (each.title, *_of_scales(each))]
    found = {text for text in known if german(text) != text}
    assert len(found) > 30
    return found


def _of_scales(protocol):
    for scale in protocol.instruments.values():
        yield from (scale.title, *scale.item_texts)


def german(text: str) -> str:
    token = language._reader.set(language.Reader("de", language.ANYBODY.zone))
    try:
        return language.gettext(text)
    finally:
        language._reader.reset(token)


@pytest.mark.parametrize("path", PAGES)
def test_titles_and_questions_are_german(browse, path):
    async def test(site):
        _, course = await measured(site)
        page = await (await site.visitor(language="de")).open(path.format(course))
        assert page.status == 200, page.text
        assert sorted(each for each in english(site) if each in page.answer.text) == []

    browse(test)

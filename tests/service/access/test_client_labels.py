"""Labels of clients: given and taken away by those who treat, on all courses of the client, and in no log."""

import pytest
from support import databases, service_walk
from support.pages import erase
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.access.client_labels import ClientLabels, NewClientLabel
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.registry import Registry
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.registry import RegistryFilters

STRANGER = Principal(person="therapist-2", role="therapist")


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        ids.extend([await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")])

    return service_walk.database(tmp_path_factory.mktemp("labels"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, courses)`."""
    settings, courses = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, courses))


async def give(clinic, course: str, label: str, who: Principal = THERAPIST) -> str:
    return (await ClientLabels(clinic).give(who, course, lambda: NewClientLabel(label=label))).label


async def shown(clinic, who: Principal = THERAPIST) -> list[str | None]:
    """The labels in the list of courses, in the order of ids."""
    page = await Registry(clinic).page(who, RegistryFilters(), None, 10)
    return [each.label for each in sorted(page.items, key=lambda each: each.id)]


def test_a_label_is_shown_to_whoever_sees_the_course_until_it_is_taken_away(clinic):
    async def test(clinic, courses):
        assert await shown(clinic) == [None, None]
        await give(clinic, courses[0], "Ms A.")
        assert await give(clinic, courses[0], "Ms Abel", SUPERVISOR) == "Ms Abel"
        assert await shown(clinic) == ["Ms Abel", None]
        found = await ClientLabels(clinic).one(AUDITOR, courses[0])
        assert (found.label, found.given_by) == ("Ms Abel", "supervisor-1")
        await ClientLabels(clinic).take_away(THERAPIST, courses[0])
        assert await shown(clinic) == [None, None]
        for verb in (ClientLabels(clinic).one, ClientLabels(clinic).take_away):
            with pytest.raises(NotFound):
                await verb(THERAPIST, courses[0])

    clinic(test)


def test_an_auditor_does_not_read_labels_where_sealed_text_is_hidden(clinic):
    async def test(clinic, courses):
        await give(clinic, courses[0], "Ms A.")
        clinic.access_rules = AccessRules(auditor_text="unmask")
        assert await shown(clinic, AUDITOR) == [None, None]
        with pytest.raises(NotFound):
            await ClientLabels(clinic).one(AUDITOR, courses[0])

    clinic(test)


def test_strangers_and_auditors_give_none(clinic):
    async def test(clinic, courses):
        with pytest.raises(NotFound):
            await give(clinic, courses[0], "Ms A.", STRANGER)
        with pytest.raises(Forbidden):
            await give(clinic, courses[0], "Ms A.", AUDITOR)

    clinic(test)


def test_the_audit_log_says_that_a_label_was_given_and_not_which(clinic):
    async def test(clinic, courses):
        await give(clinic, courses[0], "Ms A.")
        found = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="access"), Position(), 10)
        assert [(each.action, each.courses) for each in found] == [("client label given", (courses[0],))]

    clinic(test)


def test_an_erasure_leaves_no_label(tmp_path):
    async def fill(clinic):
        await give(clinic, await service_walk.open_course(clinic, "EHR-4711"), "Ms A.")

    settings = service_walk.database(tmp_path, fill)
    erase(settings.database_url)
    assert databases.select(settings, "SELECT sealed FROM client_label") == [(None,)]

"""Records that are due: the clock makes the list, and a person decides what becomes of each."""

import datetime as dt

import pytest
from support import databases, marks, service_walk
from support.retention import ADMIN, DEATH, DECADES, adopt, closed, policy
from support.service_walk import AUDITOR, START, SUPERVISOR, THERAPIST

from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, PersonNeeded
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.privacy import retention
from ipt_workflow.service.privacy.policies import RetentionPolicies, examples
from ipt_workflow.service.privacy.retention import NewRetentionDecision, Retention
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.values.faults import shaped

WRONG = {
    "name": "a",
    "kind": "record",
    "jurisdiction": "DE",
    "bound": "floor",
    "period": "P1Y",
    "anchor": "recorded",
    "citation": "None.",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """Two clients whose courses have ended, one who died, and one in therapy."""
    clients = {}

    async def fill(clinic):
        clients["first"], clients["second"] = [await closed(clinic, ref) for ref in ("EHR-1", "EHR-2")]
        clients["died"] = await closed(clinic, "EHR-3", DEATH)
        await service_walk.open_course(clinic, "EHR-4")

    return service_walk.database(tmp_path_factory.mktemp("retention"), fill, server), clients


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, clients)`."""
    settings, clients = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, clients), VirtualClock(START))


async def listed(clinic) -> list[str]:
    return [each.client for each in (await Retention(clinic).due(AUDITOR, "", 100)).items]


async def decide(clinic, decision: str, *clients: str, dry_run: bool = False, principal=ADMIN, **more):
    given = {"decision": decision, "clients": [{"client": each} for each in clients], **more}
    new = shaped(NewRetentionDecision, given)
    return await Retention(clinic).decide(principal, lambda: new, dry_run=dry_run)


async def actions(clinic) -> list[tuple[str, str, tuple[str, ...]]]:
    found = await AuditLog(clinic).page(AUDITOR, AuditFilters(), Position(), 100)
    return [(each.kind, each.action, each.rules) for each in found if each.kind != "read"]


def test_nothing_is_due_without_a_policy_and_nothing_goes_by_itself(clinic):
    async def test(clinic, clients):
        clinic.clock.advance(DECADES * 4)
        assert await listed(clinic) == []
        await adopt(clinic, policy())
        assert set(await listed(clinic)) == set(clients.values())

    clinic(test)


def test_a_record_is_on_the_list_from_the_day_after_its_floor(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy(), policy("death", anchor="death", period="P10Y"))
        clinic.clock.set(START.replace(year=2036))
        assert await listed(clinic) == []
        clinic.clock.advance(dt.timedelta(days=1))
        (due,) = (await Retention(clinic).due(AUDITOR, "", 100)).items
        assert (due.client, due.client_ref, due.since) == (clients["died"], "EHR-3", dt.date(2036, 1, 6))
        assert (due.policies, due.overdue, due.death) == (("death",), False, dt.date(2026, 1, 5))
        clinic.clock.set(START.replace(year=2046, day=6))
        assert len(await listed(clinic)) == 3

    clinic(test)


@pytest.mark.parametrize("scan", (1, 2, 500))
def test_the_list_goes_on_where_a_page_ends(clinic, monkeypatch, scan):
    monkeypatch.setattr(retention, "SCAN", scan)

    async def test(clinic, clients):
        await adopt(clinic, policy())
        clinic.clock.advance(DECADES)
        after, pages = "", []
        while after is not None:
            found = await Retention(clinic).due(AUDITOR, after, 1)
            pages += [[each.client for each in found.items]]
            after = found.next
        assert [each for page in pages for each in page] == sorted(clients.values())
        assert all(len(page) <= 1 for page in pages)

    clinic(test)


def test_a_record_that_is_due_can_be_kept_until_a_day(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy())
        clinic.clock.advance(DECADES)
        today = clinic.clock.now().date()
        first = clients["first"]
        rehearsed = await decide(clinic, "keep", first, dry_run=True, until=str(today), ground="claims")
        assert (rehearsed.id, rehearsed.counts, await Retention(clinic).decisions(AUDITOR, "", 10)) == (None, {"kept": 1}, [])
        await decide(clinic, "keep", first, until=str(today), ground="claims")
        assert first not in await listed(clinic)
        assert ("access", retention.KEPT, ("claims", "england")) in await actions(clinic)
        clinic.clock.advance(dt.timedelta(days=1))
        assert first in await listed(clinic)
        (decided,) = await Retention(clinic).decisions(AUDITOR, "", 10)
        assert (decided.client, decided.until, decided.person, decided.policies) == (first, today, "admin-1", ("england",))

    clinic(test)


def test_a_record_that_is_due_is_erased_when_a_person_decides_so_and_the_journal_still_proves(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy())
        clinic.clock.advance(DECADES)
        first, second = clients["first"], clients["second"]
        rehearsed = await decide(clinic, "erase", first, second, dry_run=True)
        assert (rehearsed.id, rehearsed.dry_run, rehearsed.counts) == (None, True, {"erased": 2})
        assert await clinic.read(stored_courses.client_id, "EHR-1") == first
        deed = await decide(clinic, "erase", first, second)
        assert (deed.counts, deed.removed) == (rehearsed.counts, rehearsed.removed)
        assert deed.removed["client_reference"] == 2
        assert deed.removed["entry_texts"] > 2
        assert await clinic.read(stored_courses.client_id, "EHR-1") is None
        assert await listed(clinic) == [clients["died"]]
        decided = await Retention(clinic).decisions(AUDITOR, "", 10)
        assert [(each.client, each.deed, each.decision, each.policies) for each in decided] == [
            (each, deed.id, "erase", ("england",)) for each in (first, second)
        ]
        assert sum(each.removed["entry_texts"] for each in decided) == deed.removed["entry_texts"]
        assert ("access", retention.ERASED, ("retention", "england")) in await actions(clinic)
        assert (await AuditLog(clinic).verify(AUDITOR)).ok
        assert [each.outcome for each in (await decide(clinic, "erase", first)).records] == ["unknown"]

    clinic(test)


def test_a_hold_is_shown_and_stops_the_erasure_of_that_record_alone(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy())
        clinic.clock.advance(DECADES)
        held = await marks.mark(clinic, "hold", ref="EHR-1")
        assert {each.client for each in (await Retention(clinic).due(AUDITOR, "", 9)).items if each.holds} == {clients["first"]}
        for dry_run in (True, False):
            deed = await decide(clinic, "erase", clients["first"], clients["second"], dry_run=dry_run)
            assert [each.outcome for each in deed.records] == ["held", "erased"]
            assert "litigation" in deed.records[0].holds[0]
        await marks.end(clinic, held.id)
        assert (await decide(clinic, "erase", clients["first"])).counts == {"erased": 1}

    clinic(test)


def test_a_client_who_came_back_is_not_due(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy())
        clinic.clock.advance(DECADES)
        await service_walk.open_course(clinic, "EHR-1")
        assert clients["first"] not in await listed(clinic)
        assert (await decide(clinic, "erase", clients["first"])).counts == {"unknown": 1}

    clinic(test)


def test_what_is_not_due_or_not_known_stays_as_it_is(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy())
        until = str(clinic.clock.now().date())
        deed = await decide(clinic, "keep", clients["first"], "nobody", until=until, ground="claims")
        assert [each.outcome for each in deed.records] == ["not_due", "unknown"]
        assert await Retention(clinic).decisions(AUDITOR, "", 10) == []

    clinic(test)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"decision": "keep"}, ["ground", "until"]),
        ({"decision": "keep", "ground": "claims", "until": "2026-01-04"}, ["until"]),
        ({"decision": "keep", "ground": "claims", "until": "2056-01-06"}, ["until"]),
        ({"decision": "erase", "ground": "claims", "until": "2026-02-01"}, ["ground", "until"]),
        ({"decision": "erase", "clients": [{"client": "x"}, {"client": "x"}]}, ["clients"]),
    ],
)
def test_a_decision_that_lacks_something_says_what(given, where):
    new = shaped(NewRetentionDecision, {"clients": [{"client": "x"}], **given})
    assert [fault.where for fault in retention.decision_faults(new, START.date())] == where


def test_whoever_erases_tells_the_date_of_birth_if_a_policy_counts_from_it_and_it_is_not_kept(clinic):
    async def test(clinic, clients):
        await adopt(clinic, policy(), policy("children", anchor="majority", period="P8Y"))
        clinic.clock.advance(DECADES)
        assert [each.birth_needed for each in (await Retention(clinic).due(AUDITOR, "", 1)).items] == [True]
        with pytest.raises(CommandInvalid, match=r"clients\[0\].born"):
            await decide(clinic, "erase", clients["first"])
        with pytest.raises(CommandInvalid, match="before today"):
            await decide(clinic, "erase", clients["first"], clients=[{"client": clients["first"], "born": "2990-01-01"}])
        born = {"client": clients["first"], "born": "2025-01-01"}  # is 22 now
        deed = await decide(clinic, "erase", clients["first"], clients=[born])
        assert deed.counts == {"not_due": 1}

    clinic(test)


def test_a_policy_is_put_in_force_and_ended_by_a_person_and_recorded(clinic):
    async def test(clinic, _):
        verbs = RetentionPolicies(clinic)
        preview = await verbs.preview(ADMIN, policy)
        assert (preview.beside, await verbs.every(AUDITOR)) == (0, [])
        await adopt(clinic, policy())
        with pytest.raises(CommandInvalid, match="contradicts england"):
            await verbs.preview(ADMIN, lambda: policy("short", bound="ceiling", period="P19Y"))
        with pytest.raises(CommandInvalid, match="name"):
            await adopt(clinic, policy())
        ended = await verbs.end(ADMIN, "england")
        assert (ended.in_force, ended.ended_by) == (False, "admin-1")
        with pytest.raises(NotFound):
            await verbs.end(ADMIN, "england")
        await adopt(clinic, policy(period="P30Y"))
        assert [each.period for each in await verbs.every(AUDITOR, in_force=False)] == ["P20Y", "P30Y"]
        assert [each.period for each in await verbs.every(AUDITOR)] == ["P30Y"]
        told = [action for _, action, rules in await actions(clinic) if rules == ("england",)]
        assert told == ["retention policy adopted", "retention policy ended", "retention policy adopted"]

    clinic(test)


def test_only_an_administrator_who_signed_in_lately_decides_and_auditors_read(clinic):
    async def test(clinic, clients):
        for principal in (THERAPIST, SUPERVISOR, AUDITOR):
            with pytest.raises(Forbidden):
                await RetentionPolicies(clinic).adopt(principal, policy)
            with pytest.raises(Forbidden):
                await decide(clinic, "erase", clients["first"], principal=principal)
        for principal in (THERAPIST, SUPERVISOR):
            with pytest.raises(Forbidden):
                await Retention(clinic).due(principal, "", 10)
        by_token = type(ADMIN)(person="admin-1", role="admin", via="api")
        with pytest.raises(PersonNeeded):
            await RetentionPolicies(clinic).adopt(by_token, policy)
        with pytest.raises(PersonNeeded):
            await decide(clinic, "erase", clients["first"], principal=by_token)

    clinic(test)


def test_no_example_is_in_force_and_each_could_be_alone(clinic):
    async def test(clinic, _):
        verbs = RetentionPolicies(clinic)
        found = await verbs.examples(AUDITOR)
        assert await verbs.every(AUDITOR) == []
        assert {each.kind for each in found} == {"record", "access_log", "disclosure_log"}
        for each in found:
            await adopt(clinic, each)
            await verbs.end(ADMIN, each.name)

    clinic(test)


def test_examples_say_whether_their_citation_was_verified(settings):
    found = examples(settings.retention)
    assert {each.verified for each in found} == {"law", "secondary", "no"}
    assert all("ot verified" in (each.note or "") for each in found if each.verified == "no")


def test_a_file_of_examples_may_be_missing_and_what_is_wrong_with_one_is_said(tmp_path):
    path = tmp_path / "retention.toml"
    assert examples(path) == ()
    for text, says in (
        ("policies = 3", "policies"),
        ("policies = [", "cannot be read"),
        ('[[policies]]\nname = "a"\n', "kind"),
        ("\n".join(("[[policies]]", *(f'{name} = "{value}"' for name, value in WRONG.items()))), "retention.toml: a.anchor"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CommandInvalid, match=says):
            examples(path)

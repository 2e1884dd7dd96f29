"""The partner dies while a dispute with them is the problem area: over HTTP, and imported from a file."""

import datetime as dt
import json

import httpx
from support import service_walk
from support.http_client import START
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters

DAY = dt.timedelta(days=1)
PARTNER = {"id": "p1", "relationship": "Partner", "closeness": "Married for thirty years"}
DISPUTE = {"primary": "role_dispute", "stage": "renegotiation", "people": ["p1"], "rationale": "They no longer speak of the move."}
GRIEF = {"primary": "grief", "people": ["p1"], "rationale": "The partner died in March."}
UP_TO_THE_FORMULATION = ("record_evaluation", "record_history", "record_timeline", "record_formulation", "accept_formulation")
TO_THE_MIDDLE = ("assign_sick_role", "agree_contract", "record_measure", "record_measure", "record_measure", "begin_middle")
RENEWED = ("record_formulation", "accept_formulation")


async def in_dispute(api, clock: VirtualClock) -> str:
    """A course in its middle phase. The dispute was named before the client accepted the formulation, as it comes up in a first hour."""
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start", "record_session", "sign_session", "record_inventory")
    await fired(api, course, "record_inventory", {"people": [PARTNER]})
    await fired(api, course, "select_focus", DISPUTE)
    await api.walk(course, *UP_TO_THE_FORMULATION, *TO_THE_MIDDLE)
    for _ in range(3):
        clock.advance(7 * DAY)
        await api.walk(course, "record_session", "sign_session")
    return course


async def fired(api, course: str, trigger: str, data: dict) -> dict:
    answer = await api.fire(course, trigger, data)
    assert answer.status_code == 201, answer.text
    return answer.json()["course"]


def refusals(answer: httpx.Response) -> dict[str, dict]:
    assert answer.status_code == 409, answer.text
    return {refusal["rule"]: refusal for refusal in answer.json()["refusals"]}


def test_a_dispute_gives_way_to_grief_on_a_formulation_that_was_accepted_since(api):
    clock = VirtualClock(START)

    async def test(api):
        course = await in_dispute(api, clock)
        alive = refusals(await api.fire(course, "change_focus", GRIEF))
        assert set(alive) == {"focus_grounded", "formulation_renewed"}
        assert alive["focus_grounded"]["message_id"] == "focus_grounded.living"
        await fired(api, course, "record_inventory", {"people": [{"id": "p1", "deceased": True}]})

        dead = refusals(await api.fire(course, "change_focus", {**DISPUTE, "stage": "impasse"}))["focus_grounded"]
        assert (dead["message_id"], dead["parameters"]) == ("focus_grounded.dead", {"people": ["p1"]})

        (refusal,) = refusals(await api.fire(course, "change_focus", GRIEF)).values()
        assert (refusal["rule"], refusal["severity"], refusal["current"]) == ("formulation_renewed", "hard", 1)
        assert [each["trigger"] for each in refusal["remedies"]] == list(RENEWED)
        await api.walk(course, "record_formulation")
        assert set(refusals(await api.fire(course, "change_focus", GRIEF))) == {"formulation_renewed"}
        await fired(api, course, "accept_formulation", {"version": 2, "response": "declines"})
        assert set(refusals(await api.fire(course, "change_focus", GRIEF))) == {"formulation_renewed"}
        await api.walk(course, "accept_formulation")
        focus = (await fired(api, course, "change_focus", GRIEF))["focus"]
        assert (focus["primary"], focus["changes"]) == ("grief", 1)
        assert set(refusals(await api.fire(course, "change_focus", GRIEF))) == {"formulation_renewed"}

    api(test, clock)


def test_the_same_course_is_imported_from_its_journal_and_refused_without_the_new_formulation(api, tmp_path, monkeypatch):
    clock = VirtualClock(START)
    lines: list[dict] = []

    async def tell(api):
        course = await in_dispute(api, clock)
        await fired(api, course, "record_inventory", {"people": [{"id": "p1", "deceased": True}]})
        await api.walk(course, *RENEWED)
        await fired(api, course, "change_focus", GRIEF)
        lines.extend(as_line(entry) for entry in await api.clinic.entries(course))

    api(tell, clock)
    folder = tmp_path / "imported"
    folder.mkdir()
    settings = service_walk.database(folder)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    hasty = [line for line in lines if (line["trigger"], line["data"].get("version")) != ("accept_formulation", 2)]
    (refused,) = imported(folder, hasty, code=1)["refused"]
    assert "formulation_renewed" in str(refused["why"])
    assert imported(folder, lines, code=0)["refused"] == []

    async def focus(clinic):
        (listed,) = await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 50)
        return (await clinic.courses.get(listed.id)).course.focus

    assert service_walk.with_clinic(settings, focus).primary == "grief"


def as_line(entry) -> dict:
    written, document = entry.written, entry.document
    line = {"course": "A", "trigger": written.trigger, "data": document.data, "occurred_at": written.occurred_at.isoformat()}
    line |= {"reason": document.reason} if document.reason else {}
    return {**line, "client_ref": "IMP-1", "therapist": "therapist-1"} if written.trigger == "refer" else line


def imported(folder, lines: list[dict], code: int) -> dict:
    file = folder / "course.ndjson"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["import", str(file), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)

"""A client that knows only the HTTP contract walks a course."""

from typing import Any

ANOTHER_VISIT = {"rules": ["overlaps_session"], "reason": "The test has no week to wait."}
INITIAL = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory")


def chase(options: dict[str, Any], name: str, seen: set[str]) -> str | None:
    """The first trigger that may be fired on the way to `name`, found by remedies alone."""
    if options[name]["allowed"]:
        return name
    for refusal in options[name]["refusals"] + options[name]["warnings"]:
        for remedy in refusal["remedies"]:
            trigger = remedy["trigger"]
            if trigger in options and trigger not in seen:
                seen.add(trigger)
                found = chase(options, trigger, seen)
                if found:
                    return found
    return None


def test_a_stranger_walks_a_course_to_its_end_by_posting_what_options_offers(api):
    async def walk(api):
        course = await api.open()
        for _ in range(80):
            course = (await api.get(f"/v1/courses/{course['id']}")).json()
            if course["state"] == "completed":
                break
            options = await api.options(course["id"])
            trigger = chase(options, course["next"] or "start", set())
            assert trigger, options
            answer = await api.post(
                f"/v1/courses/{course['id']}/transitions", options[trigger]["example"], If_Match=f'"{course["version"]}"'
            )
            assert answer.status_code == 201, (trigger, answer.text)
        assert course["state"] == "completed"
        assert course["counters"]["attended"] == {"initial": 1, "middle": 8, "final": 3}
        verified = (await api.get("/v1/audit/verify", "auditor")).json()
        assert verified["ok"]
        assert verified["checked"] == course["version"]

    api(walk)


def rules(answer) -> set[str]:
    assert answer.status_code == 409, answer.text
    return {refusal["rule"] for refusal in answer.json()["refusals"]}


def test_what_should_be_refused_is_refused_with_its_rules_at_every_step(api):
    async def walk(api):
        course = (await api.open())["id"]
        assert rules(await api.fire(course, "begin_middle")) == {"state_allows"}
        assert rules(await api.fire(course, "start")) == {"consent_given"}
        await api.walk(course, *INITIAL)
        await api.walk(course, "record_formulation", "accept_formulation", "record_measure", "select_focus", "agree_contract")
        assert "sick_role_resolved" in rules(await api.fire(course, "begin_middle"))
        await api.walk(course, "record_session", "record_session")
        full = await api.fire(course, "record_session", {"attendance": "5"}, override=ANOTHER_VISIT)
        assert rules(full) == {"phase_session_cap"}
        await api.walk(course, "sign_session", "sign_session", "assign_sick_role", "begin_middle")
        for _ in range(5):
            await api.walk(course, "record_session", "sign_session")
        await api.walk(course, "announce_ending")
        refused = await api.fire(course, "begin_final")
        assert "final_remaining" in rules(refused)
        assert next(r for r in refused.json()["refusals"] if r["rule"] == "final_remaining")["current"] == 4
        await api.walk(
            course,
            "record_session",
            "sign_session",
            "begin_final",
            "record_session",
            "sign_session",
            "record_session",
            "sign_session",
        )
        assert "final_held" in rules(await api.fire(course, "complete", {"outcome": "response"}))
        auditor = await api.fire(course, "note", {"text": "x"}, role="auditor")
        assert auditor.status_code == 403

    api(walk)


def test_a_session_beyond_the_cap_is_told_as_additional_and_holds_the_phase_until_acknowledged(api):
    async def walk(api):
        course = (await api.open())["id"]
        await api.walk(
            course, *INITIAL, "record_formulation", "accept_formulation", "record_measure", "select_focus", "agree_contract"
        )
        await api.walk(course, "assign_sick_role", "record_session", "sign_session", "record_session", "sign_session")
        data = {"attendance": "5", "kind": "additional"}
        held = await api.fire(course, "record_session", data, reason="A crisis between sessions.", override=ANOTHER_VISIT)
        assert held.status_code == 201
        counters = held.json()["course"]["counters"]
        assert (counters["attended"]["initial"], counters["over"]["initial"], counters["consumed"]) == (3, 1, 3)
        await api.walk(course, "sign_session")
        assert "no_open_deviation" in rules(await api.fire(course, "begin_middle"))
        seq = held.json()["entry"]["seq"]
        acknowledged = await api.fire(course, "acknowledge_deviation", {"session": seq}, role="supervisor", reason="Seen.")
        assert acknowledged.status_code == 201, acknowledged.text
        await api.walk(course, "begin_middle")

    api(walk)

"""Group IPT: a group of the pilot study in Northwest Ethiopia.

Source: Acceptability and feasibility of peer-administered group interpersonal therapy for depression for people living with HIV/AIDS, Pilot and
Feasibility Studies 7:147, 2021 (doi 10.1186/s40814-021-00889-x, with its table 2). From it: four groups with 31 participants, of whom 29 completed;
one individual session before; eight weekly sessions, session 1 initial, 2 to 7 middle, 8 termination; between 15 August and 15 December 2019; led by
trained peers; PHQ-9, lower by 9.92 points on average afterwards.

Ours: which of the four groups, with eight members, of whom one is lost; the days; who missed a session; the areas, the inventories and each
member's PHQ-9, ten points lower at the end; IFR and MSPSS; the supervisor's name; that the ending was raised in session 6; how the lost member's course ends.
"""

import datetime as dt

from support.published import WEEK, Story, Telling

FIRST = dt.datetime(2019, 9, 10, 8, 0, tzinfo=dt.UTC)
MINUTES = 90
BEFORE = {
    "Member 1": 13,
    "Member 2": 14,
    "Member 3": 15,
    "Member 4": 16,
    "Member 5": 17,
    "Member 6": 14,
    "Member 7": 13,
    "Member 8": 18,
}
LOST = "Member 8"
MISSED = {3: ("Member 2",), 5: ("Member 5", LOST)}  # by session
TRANSITION = {"primary": "role_transition", "old_role": "Well", "new_role": "Living with HIV"}
AREAS = dict.fromkeys(BEFORE, TRANSITION) | {
    "Member 4": {"primary": "role_dispute", "people": ["sister"], "stage": "impasse"},
    "Member 6": {"primary": "grief", "people": ["husband"]},
}


def story() -> Story:
    story = Story()
    members = {name: _met_before(story, name) for name in BEFORE}
    group = story.group("Group", "ipt-group", *members.values())
    for session in range(1, 9):
        group.session(
            FIRST + (session - 1) * WEEK, MINUTES, MISSED.get(session, ()), {name: area["primary"] for name, area in AREAS.items()}
        )
        if session == 5:
            group.leaves(LOST, "not_reached")
            _lost(members.pop(LOST))
        for member in members.values():
            if session == 1:
                member.tell("begin_middle")
            if session == 6:
                member.tell("announce_ending")
            if session == 7:
                member.tell("begin_final")
    for member in members.values():
        _ended(member)
    return story


def _met_before(story: Story, name: str) -> Telling:
    """The individual session: symptoms, problem area, and the invitation to the group."""
    member = story.course(name, "ipt-group", FIRST - 2 * WEEK, indication="depression")
    member.at(FIRST - WEEK).tell("record_consent", scope="treatment")
    member.tell("start", format="group", provider="non_specialist", supervisor="supervisor-1")
    member.tell("record_contact", kind="pre_group", medium="face_to_face", minutes=60)
    member.tell("record_evaluation", diagnosis="Told.")
    member.inventoried({"id": "sister"}, {"id": "husband", "deceased": name == "Member 6"})
    member.scores(phq9=BEFORE[name], ifr=6, mspss=30)
    member.tell("select_focus", **AREAS[name])
    member.agreed(8, 8)
    return member


def _lost(member: Telling) -> None:
    member.at(member.now + WEEK)
    last_contact = (FIRST + 3 * WEEK).date().isoformat()
    member.tell("end_early", reason="Told.", end_code="48", last_contact=last_contact, risk_status="none", attempts=2)


def _ended(member: Telling) -> None:
    member.scores(phq9=BEFORE[member.name] - 10, ifr=3, mspss=40)
    member.reviewed_gains()
    member.tell("decide_continuation", decision="none")
    member.tell("complete", outcome="response")


def test_seven_of_eight_members_complete_eight_sessions(over_http):
    shown = {name: over_http.shown[name, "ipt-group"] for name in BEFORE}
    assert [each["state"] for each in shown.values()] == ["completed"] * 7 + ["ended_early"]
    for name, each in shown.items():
        if name != LOST:
            assert each["counters"]["remaining"] == 0
            assert sum(session["attendance"] == "5" for session in each["sessions"]) == (
                7 if name in {"Member 2", "Member 5"} else 8
            )
            assert each["measures"]["phq9@1"]["change"]["improvement"] == 10
            assert each["outcome"]["reliable_recovery"]
            assert (each["overrides"], each["deviations"], each["attention"]) == (0, 0, [])
    assert len({session["group_session"] for session in shown["Member 1"]["sessions"]}) == 8


def test_imported_from_paper_they_are_the_same_courses(over_http, by_import):
    assert by_import.entries == over_http.entries
    assert by_import.courses == over_http.courses

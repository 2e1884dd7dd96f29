"""Refusals as pages say them, by message id, where the sentence for programs names commands, fields or numbers of entries."""

BEYOND = "If the session took place anyway, record it as a session beyond the limit."
AGREE = "Ask a supervisor to agree."

SENTENCES = {
    # agreement
    "contract_agreed.too_late": (
        "No contract has been agreed, and one can be agreed only in the first phase. If the course was taken over, put that right"
        " and add the contract there."
    ),
    "contract_in_range": (
        "The contract is outside the protocol's range: {outside}. Agree {sessions_min} to {sessions_max} sessions and {weeks_min} to"
        f" {{weeks_max}} weeks. {AGREE}"
    ),
    "focus_grounded.interpersonal_deficits": (
        "Interpersonal deficits come last. Confirm that the other problem areas do not fit, or choose one of them."
    ),
    "focus_grounded.lacks": "The problem areas lack more than one thing: {lacks}. Give each of them.",
    "focus_grounded.lost": (
        "Grief names the person lost, who may never have been born. Choose the person of the inventory who has died."
    ),
    "focus_grounded.other_party": "A role dispute is with somebody. Choose the living person of the inventory with whom it is.",
    "focus_grounded.unknown": "The inventory does not have {people}. Record each of them there, or choose others.",
    # putting right
    "amendment_agreed": f"A supervisor must agree to this correction ({{reasons}}). {AGREE}",
    "entry_amendable.ending": "Of an ending only the time can be put right. To change anything else, reopen the course.",
    "entry_amendable.fire_again": "This cannot be put right. Record it again with what is right.",
    "entry_amendable.moved": "This was moved to another course. Put it right there.",
    "entry_amendable.opening": "What opened the course cannot be removed. Put its contents or its time right instead.",
    "entry_amendable.superseded": "This was put right already. Put the latest correction right instead.",
    "entry_amendable.unknown": "This is not part of the course. Choose a step from its history.",
    # wrong client
    "entries_movable.erased": "The text was erased, so it cannot move. Remove it here and record it in the other course.",
    "entries_movable.group": "This is part of a group's session. Remove it here and record it in the other course.",
    "entries_movable.kind": (
        "This does not move to another course. Remove it here if it is wrong, and record it in the other course."
    ),
    "entries_movable.session_first": "This goes with its session. Choose that session too.",
    "entries_movable.unknown": "This is not part of the course. Choose a step from its history.",
    "entries_movable.void": "This has no effect in the course any more. Leave it out.",
    "move_agreed": f"A supervisor must agree to this move ({{reasons}}). {AGREE}",
    "other_course_accepts.refused": (
        "The other course cannot take all of this. Put it right here first, or put that course right."
    ),
    # calendar
    "absence_over.order": "The absence ends before it begins. Correct its days: the last is the day of the return.",
    # ending
    "end_code_fits": (
        "This code is for an ending that therapist and client agreed in the {phase} phase. Choose the code that fits, or agree fewer"
        " sessions and begin that phase."
    ),
    "final_remaining.no_contract": "The {phase} phase begins when {needed} contracted sessions remain. Agree a contract first.",
    "final_remaining.too_few": (
        "The {phase} phase begins when {needed} contracted sessions remain, and fewer remain now. Change the contract first."
    ),
    "final_remaining.too_late": (
        "The {phase} phase begins when {needed} contracted sessions remain. No contract was agreed in the first phase. If the course"
        " was taken over, put that right and add the contract there."
    ),
    "final_remaining.too_many": (
        "The {phase} phase begins when {needed} contracted sessions remain, and {left} remain now. Record the next sessions, or change"
        " the contract."
    ),
    "contracted_weeks_served.not_begun": (
        "The {weeks} contracted weeks have not begun. They begin with the first session. Hold it, or change the contract."
    ),
    "contracted_weeks_served.running": "The contracted weeks are not over: this is week {week} of {weeks}. Wait, or change the contract.",
    # episode
    "extension_allowed.already": f"The {{phase}} phase has already been extended, and only one extension is allowed. {BEYOND}",
    "extension_allowed.never": f"The protocol does not extend the {{phase}} phase. {BEYOND}",
    "lower_risk_explained": "The review lowers the risk, which is {level}. Say why.",
    "reopen_window": f"The course ended {{days}} days ago. After {{most}} days a second supervisor must agree. {AGREE}",
    "supervisor_agrees": f"A supervisor must agree. {AGREE}",
    # first phase
    "waiver_agreed": f"The protocol demands the sick role. To do without it, a supervisor must agree. {AGREE}",
    # order
    "later_entries_hold": "Later steps would not be allowed any more. Put them right first.",
    "later_entries_hold.pause": "Later steps would fall into the break. Record the end of the break together with its beginning.",
    "later_entries_hold.recorded": "This is recorded already. If its time is wrong, put it right.",
    "state_allows.another": "This is not possible now: the course is {state}. Choose another step.",
    "state_allows.begun": "This comes too late: that phase has begun already. If its beginning has a wrong time, put that right.",
    "state_allows.ended": "This comes too late: the course has ended. If that was an error, reopen the course first.",
    "state_allows.later": (
        "This was not possible then: the course was {state}, and the step that would allow it is recorded for a later time. Put right"
        " the time that is wrong."
    ),
    "state_allows.over": "This comes too late: the course has ended already. If that was an error, reopen the course first.",
    "state_allows.recorded": "This is recorded already. If its time is wrong, put it right.",
    "state_allows.step": "This is not possible yet: the course is {state}. Take the step first that leads on from there.",
    "state_allows.unknown": "{protocol} has no such step. Choose another one.",
    # processing
    "processing_not_restricted": (
        "Processing of the client's data is restricted. Until it is lifted, record only risk, contacts, notes and what else is never blocked."
    ),
    # rhythm
    "rhythm_tracked": "The social rhythm has been tracked for {tracked} of {weeks} weeks. Record the other weeks.",
    # sessions
    "attendance_fits_state.later": (
        "A session cannot be held before the course has started, and the start is recorded for a later time. Put right the time that is"
        " wrong."
    ),
    "contract_session_cap": f"All {{sessions}} contracted sessions are used. {BEYOND}",
    "deviation_open": "This is not a session beyond the limit that waits for a supervisor. Choose one that does.",
    "no_open_deviation": "No supervisor has acknowledged the sessions beyond the limit. Ask a supervisor to acknowledge them.",
    "no_unsigned_session": "There are sessions that are not signed. Sign them, or ask a supervisor to attest them.",
    "overlaps_session.again": "This overlaps another session. If it is the same visit, it is recorded already: put that right if it is wrong.",
    "overlaps_session.amended": "So corrected, the session overlaps another one. If both are the same visit, remove one of them.",
    "overlaps_session.link": "This overlaps another session. If it is the same visit, link that session to the appointment instead.",
    "phase_session_cap.full": f"The {{phase}} phase has had all its {{most}} sessions. {BEYOND}",
    "phase_session_cap.later": (
        f"The {{phase}} phase had had all its sessions by then, and the next phase is recorded as begun later. If it had begun by then,"
        f" put its time right. {BEYOND}"
    ),
    "phase_session_cap.reserved": (
        f"The last {{reserved}} contracted sessions are kept for the phases after the {{phase}} phase. {BEYOND}"
    ),
    "session_already_recorded": "This visit is already recorded. Put that right if it is wrong.",
    "session_known": "This is not a session of the course. Choose one that is, or record the session first.",
    "session_signable.not_held": "The session was not held, so it is not signed. Put it right if it was held.",
    "session_signable.signed": "The session is already signed. Choose one that waits for a signature.",
    "session_signable.unknown": "This is not a session of the course. Choose one that waits for a signature.",
    "within_planned_end": f"The course was planned to end on {{planned_end}}. Agree more weeks first. {BEYOND}",
    # setting
    "engagement_met": "There was no engagement session. Hold one, and record it as a contact.",
    "indication_fits": "{protocol} is not indicated for {indication}. Consider another protocol.",
    # groups
    "group_session_once": ("This session is already recorded. Put right what is wrong, and settle in the inbox what waits there."),
}

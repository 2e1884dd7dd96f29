"""The sentences of refusals, in English, by message id.

A sentence says what is wrong, then what to do next. A translation needs the id, the parameters and the severity: see `docs/refusals.md`.
"""

from collections.abc import Mapping

from ipt_workflow.errors import Parameter, Severity

# Follows the sentence of every soft refusal.
BY_REASON = "You can go on with a reason: put `{rule}` in `override` and say why."

MESSAGES = {
    # agreement
    "both_agree": "The contract lacks the agreement of: {who}. Record it once client and therapist both agree.",
    "contract_agreed.agree": "No contract has been agreed. Agree one with the client.",
    "contract_agreed.too_late": (
        "No contract has been agreed, and one can be agreed only in the first phase. If the course was taken over, amend the entry that"
        " did, to add the contract."
    ),
    "contract_fits_phases.exact": "The {phase} phase has begun, so the contract must have exactly {needed} sessions.",
    "contract_fits_phases.too_few": "The contract has too few sessions for the phases. Agree at least {needed} sessions.",
    "contract_in_range": (
        "The contract is outside the protocol's range: {outside}. Agree {sessions_min} to {sessions_max} sessions and {weeks_min} to"
        " {weeks_max} weeks, or post this as a proposal for a supervisor to cosign."
    ),
    "dispute_stage_legal.begin": "A role dispute cannot begin at the stage {wanted}. Choose from {allowed}.",
    "dispute_stage_legal.move": "A role dispute cannot move from {stage} to {wanted}. Choose from {allowed}.",
    "dispute_stage_legal.no_dispute": "A role dispute is not a problem area of this course. Make it one first.",
    "dispute_stage_legal.settled": "The role dispute ended in {stage}. Its stage cannot change any more.",
    "focus_area_allowed": "{protocol} has no problem area {areas}. Choose from {allowed}.",
    "focus_change_in_time": (
        "It is late to change the problem area: {used} of {sessions} contracted sessions are used. Keep the present problem area."
    ),
    "focus_count.repeated": "A problem area is named twice. Name each one once.",
    "focus_count.too_many": "There are too many problem areas. Name at most {most}.",
    "focus_encouraged": "{protocol} advises against {areas}. Choose another problem area.",
    "focus_grounded.dead": (
        "A role dispute is with a living person, and {people} died. Name the living person in dispute, or choose another problem area."
    ),
    "focus_grounded.interpersonal_deficits": (
        "Interpersonal deficits come last. Confirm with `others_do_not_fit` that the other problem areas do not fit, or choose one of"
        " them."
    ),
    "focus_grounded.lacks": "The problem areas lack more than one thing: {lacks}. Give each of them in `data`.",
    "focus_grounded.living": (
        "Grief is for a person lost, and {people} did not die. Name the person lost, or record the death in the inventory."
    ),
    "focus_grounded.lost": (
        "Grief names the person lost, who may never have been born. Name in `people` who is `deceased` in the inventory."
    ),
    "focus_grounded.other_party": (
        "A role dispute is with somebody. Name in `people` the living person of the inventory with whom it is."
    ),
    "focus_grounded.role_dispute": "A role dispute needs its stage. Say at which stage it is.",
    "focus_grounded.role_transition": "A role transition needs an old and a new role. Name both.",
    "focus_grounded.unknown": "The inventory does not have {people}. Record each of them there, or name others by their `id`.",
    "focus_selected.inventory_first": "No problem area has been selected. Record the interpersonal inventory, then select one.",
    "focus_selected.select": "No problem area has been selected. Select one with the client.",
    "formulation_renewed.accept": (
        "The client has not accepted a newer formulation than the one on which the problem area rests. Discuss the latest one and record"
        " the answer."
    ),
    "formulation_renewed.record": (
        "The client has not accepted a newer formulation than the one on which the problem area rests. Record one, and the client's"
        " answer to it."
    ),
    # amending
    "amendment_agreed": "A supervisor must agree to this amendment ({reasons}). Post it as a proposal for a supervisor to cosign.",
    "entry_amendable.ending": "Of an ending only the time can be amended. To change anything else, reopen the course.",
    "entry_amendable.fire_again": "An entry of `{trigger}` cannot be amended. Fire `{trigger}` again with what is right.",
    "entry_amendable.moved": "Entry {entry} was moved to another course. Amend it there.",
    "entry_amendable.opening": "The entry that opened the course cannot be voided. Amend its `data` or `occurred_at` instead.",
    "entry_amendable.reopened": "This ending was taken back when the course was reopened. Leave it as it is.",
    "entry_amendable.superseded": "Entry {entry} has been superseded. Amend entry {latest} instead.",
    "entry_amendable.unknown": "Entry {entry} is not an entry of this course. Choose one from its history.",
    # moving entries
    "entries_movable.erased": "The text of entry {entry} was erased, so it cannot move. Make it void here and record it in the other course.",
    "entries_movable.group": "Entry {entry} is part of a group's session. Make it void here and record it in the other course.",
    "entries_movable.kind": (
        "An entry of `{trigger}` does not move (entry {entry}). Make it void here if it is wrong, and record it in the other course."
    ),
    "entries_movable.session_first": "Entry {entry} goes with its session. Name that session, entry {session}.",
    "entries_movable.unknown": "Entry {entry} is not an entry of this course. Choose one from its history.",
    "entries_movable.void": "Entry {entry} has no effect in this course any more. Leave it out.",
    "move_agreed": "A supervisor must agree to this move ({reasons}). Post it as a proposal for a supervisor to cosign.",
    "other_course_accepts.refused": (
        "The other course refuses these entries: {entries}. `breaks` says why. Correct them here first, or put that course right."
    ),
    "other_course_accepts.unknown": "No other course is named that you may change. Name the course of the right client.",
    # calendar
    "absence_over.lasts": "The absence lasts until {until}. Pause the course instead, and resume it when the client is back.",
    "absence_over.order": "The absence ends before it begins. Correct its days: `until` is the day of the return.",
    "bookings_in_contract": "Sessions that the contract leaves: {left}. Others that are booked: {booked}. Book at most {most}.",
    # ending
    "alternative_offered": (
        "The client did not improve, and nothing else has been offered. Decide for an alternative or a referral, or refer the client on."
    ),
    "continuation_decided": "It has not been decided what follows this course. Decide it with the client and record it.",
    "contracted_weeks_served.not_begun": (
        "The {weeks} contracted weeks have not begun. They begin with the first session. Hold it, or amend the contract."
    ),
    "contracted_weeks_served.running": "The contracted weeks are not over: this is week {week} of {weeks}. Wait, or amend the contract.",
    "ending_announced": "The ending has not been announced. Raise it with the client and record that.",
    "end_code_fits": (
        "Code 46 is for an ending that therapist and client agreed in the {phase} phase. Use the code that fits, or agree fewer sessions and"
        " begin that phase."
    ),
    "final_attended.missed": "The client attended {attended} of the {needed} sessions of the {phase} phase. No session of the phase is left.",
    "final_attended.more_to_come": (
        "The client has attended {attended} of the {needed} sessions of the {phase} phase. Hold the others and record them."
    ),
    "final_held": "The {phase} phase has used {used} of its {needed} sessions. Hold the others and record them.",
    "final_remaining.no_contract": "The {phase} phase begins when {needed} contracted sessions remain. Agree a contract first.",
    "final_remaining.too_few": (
        "The {phase} phase begins when {needed} contracted sessions remain, and fewer remain now. Amend the contract first."
    ),
    "final_remaining.too_late": (
        "The {phase} phase begins when {needed} contracted sessions remain. No contract was agreed in the first phase. If the course was"
        " taken over, amend the entry that did, to add the contract."
    ),
    "final_remaining.too_many": (
        "The {phase} phase begins when {needed} contracted sessions remain, and {left} remain now. Record the next sessions, or amend"
        " the contract."
    ),
    "gains_recorded": "The client's gains have not been reviewed. Review them with the client and record them.",
    "independence_recorded": "It is not recorded what the client now does without the therapist. Record it.",
    "outcome_fits_measures.better": "By the scales the client is reliably better, and the outcome says {outcome}. Correct the outcome.",
    "outcome_fits_measures.case": (
        "By the scales the client is still unwell, and the outcome says {outcome}. Correct the outcome, or measure again."
    ),
    "outcome_fits_measures.worse": "By the scales the client is reliably worse, and the outcome says {outcome}. Correct the outcome.",
    "recurrence_planned": (
        "There is no plan for recurrence. Plan with the client how to anticipate, identify and manage one, and record the plan."
    ),
    "sick_role_relinquished": "The client has not given up the sick role. Discuss that and record it.",
    # episode
    "adopted_phase_exists": "The protocol has no phase {phases}. Choose from {allowed}.",
    "carries_over": "The course would be stuck under the new version. {obstacles} Choose a version that the course fits.",
    "client_differs": "The course already belongs to this client. Name another client.",
    "declined_by_therapist": "The first phase has begun, so only the therapist declines the course. Ask its therapist to decline it.",
    "extension_allowed.already": (
        "The {phase} phase has already been extended, and only one extension is allowed. If a session beyond the cap took place, record"
        " it with kind `additional`."
    ),
    "extension_allowed.never": (
        "The protocol does not extend the {phase} phase. If a session beyond the cap took place, record it with kind `additional`."
    ),
    "lower_risk_explained": "The review lowers the risk, which is {level}. Say in `reason` why.",
    "no_acute_risk": "The client's risk is acute, so the course stays in its phase. Review the risk first.",
    "one_active_course": "This client already has an open acute course. Complete or end that one first.",
    "protocol_differs": "The course already runs under {protocol}. Choose another protocol or version.",
    "reopen_window": (
        "The course ended {days} days ago. After {most} days a second supervisor must agree: post this as a proposal for one to cosign."
    ),
    "same_protocol_family": "A course migrates only to another version of its own protocol, {protocol}. Choose one, or change the protocol.",
    "supervisor_agrees": "A supervisor must agree. Post this as a proposal for a supervisor to cosign.",
    # first phase
    "evaluation_recorded": "There is no diagnostic evaluation with a diagnosis. Record one.",
    "formulation_accepted.in_part": "The client accepts the latest formulation only in part. Revise it with the client.",
    "formulation_accepted.none": "There is no formulation. Record one, and the client's answer to it.",
    "formulation_accepted.not_yet": "The client has not accepted the latest formulation. Discuss it and record the client's answer.",
    "formulation_complete": "The formulation lacks: {missing}. Record a formulation with these parts.",
    "formulation_known.none": "There is no formulation. Record one first.",
    "formulation_known.outdated": "Version {version} of the formulation is not the latest. Record the client's answer to version {latest}.",
    "history_complete.missing": "The psychiatric history lacks: {missing}. Record these parts, or that they could not be obtained.",
    "history_complete.not_obtained": "The psychiatric history lacks what could not be obtained: {missing}. Record it when you can.",
    "inventory_complete": "The interpersonal inventory lacks: {missing}. Record these sections.",
    "inventory_recorded": "There is no interpersonal inventory. Record one first.",
    "measured.baseline_missing": (
        "There is no baseline measure of {aims}. Any of these counts: {scales}. Record one, or that it could not be obtained."
    ),
    "measured.baseline_not_obtained": (
        "A baseline measure of {aims} could not be obtained. Any of these counts: {scales}. Record one when you can."
    ),
    "measured.baseline_too_old": (
        "Every reading of {aims} was taken too long before the start to be a baseline. Any of these counts: {scales}. Record one, or that"
        " it could not be obtained."
    ),
    "measured.end_missing": (
        "There is no measure of {aims} in this phase. Any of these counts: {scales}. Record one, or that it could not be obtained."
    ),
    "measured.end_not_obtained": (
        "A measure of {aims} could not be obtained in this phase. Any of these counts: {scales}. Record one when you can."
    ),
    "sick_role_assigned.assign": "There is no sick role to change. Assign it first.",
    "sick_role_assigned.none": "The client has no sick role that could be changed or given up. Go on without it.",
    "sick_role_explained": "It was not explained that the client is not to blame for the illness. Explain it, then assign the sick role.",
    "sick_role_mode_fits": "{protocol} gives a limited sick role. Assign a limited one.",
    "sick_role_resolved.declined": "The client has declined the sick role. Offer it again, and update it if the client accepts.",
    "sick_role_resolved.pending": "The sick role has not been assigned. Assign it, or record that it is declined or waived.",
    "sick_role_used": "{protocol} does not use the sick role. Go on without it.",
    "timeline_recorded": "There is no timeline of life events and symptoms. Record one.",
    "waiver_agreed": "The protocol demands the sick role. To do without it, post this as a proposal for a supervisor to cosign.",
    # processing
    "processing_not_restricted": (
        "Processing of the client's data is restricted: {ground}. Until it is lifted, record only what is never blocked, such as risk,"
        " contacts and notes."
    ),
    # order
    "later_entries_hold": "These later entries would not pass their rules any more: {entries}. Amend them first.",
    "later_entries_hold.pause": (
        "These later entries would not pass their rules in a pause: {entries}. Send the pause together with the `resume` that ended it."
    ),
    "later_entries_hold.recorded": "`{trigger}` is recorded already, as entry {entry}. If its time is wrong, correct it.",
    "state_allows.another": "`{trigger}` cannot happen in the state `{state}`. Choose another trigger.",
    "state_allows.begun": "`{trigger}` comes too late: that phase has begun already. If its beginning has a wrong time, amend that entry.",
    "state_allows.ended": "`{trigger}` comes too late: the course ended by entry {entry}. If that was an error, reopen the course first.",
    "state_allows.later": (
        "`{trigger}` cannot happen in the state `{state}`, in which the course was then. `{step}` is recorded for a later time, as entry"
        " {entry}. Correct the time that is wrong: that one or this one."
    ),
    "state_allows.over": "`{trigger}` comes too late: the course has ended already. If that was an error, reopen the course first.",
    "state_allows.recorded": "`{trigger}` is recorded already, as entry {entry}. If its time is wrong, correct it.",
    "state_allows.step": "`{trigger}` cannot happen in the state `{state}`. First fire `{step}`.",
    "state_allows.unknown": "{protocol} has no trigger `{trigger}`. Choose another trigger.",
    # rhythm
    "prescriber_reviewed": "The prescriber has not reviewed the medication. Ask for a review and record it.",
    "review_held": "The course has not been reviewed in the last {days} days. Review it and record that.",
    "rhythm_known": "No week of the social rhythm is recorded. Record one first.",
    "rhythm_target_set": "The social rhythm has no targets. Set times with the client.",
    "rhythm_tracked": "The social rhythm has been tracked for {tracked} of {weeks} weeks. Record the other weeks on `{form}`.",
    # sessions
    "attendance_fits_state": (
        "A session cannot be held before the course has started. Start the course first, or record the session as missed or cancelled."
    ),
    "attendance_fits_state.later": (
        "A session cannot be held before the course has started, and the start is recorded for a later time, as entry {entry}. Correct"
        " the time that is wrong: that one or this one."
    ),
    "contract_session_cap": "All {sessions} contracted sessions are used. If the session took place anyway, record it with kind `additional`.",
    "deviation_open": "Entry {entry} is not a session beyond a cap that waits to be acknowledged. Choose one that does.",
    "focus_worked.hold": (
        "No signed session of the {phase} phase worked on the primary problem area. Work on it in a session, and record and sign that."
    ),
    "focus_worked.sign": "No signed session of the {phase} phase worked on the primary problem area. Sign the session that did.",
    "middle_sessions_recommended": (
        "The {phase} phase is shorter than recommended: it has {count} of {minimum} sessions. Hold the others and record them."
    ),
    "no_open_deviation": "No supervisor has acknowledged these sessions beyond a cap: {entries}. Ask a supervisor to acknowledge them.",
    "no_unsigned_session": "These sessions are not signed: {entries}. Sign them, or ask a supervisor to attest them.",
    "overlaps_session.again": (
        "This overlaps the session of entry {entry}. If it is the same visit, it is recorded already: amend that entry if it is wrong."
    ),
    "overlaps_session.amended": (
        "Amended so, the session overlaps the session of entry {entry}. If both are the same visit, make one of them void."
    ),
    "overlaps_session.link": (
        "This overlaps the session of entry {entry}. If it is the same visit, link that entry to its reference instead."
    ),
    "own_session": "Another therapist gave this session. Ask that therapist to sign it, or a supervisor to attest it.",
    "phase_session_cap.full": (
        "The {phase} phase has had all its {most} sessions. If the session took place anyway, record it with kind `additional`."
    ),
    "phase_session_cap.later": (
        "The {phase} phase had had all its sessions by then. The next phase is recorded as begun later, by entry {entry}. If it had begun"
        " by then, correct the time of that entry. If not, record the session with kind `additional`."
    ),
    "phase_session_cap.reserved": (
        "The last {reserved} contracted sessions are kept for the phases after the {phase} phase. If the session took place anyway,"
        " record it with kind `additional`."
    ),
    "phase_sessions_met": "The sessions of the {phase} phase do not suffice yet: {count} of at least {needed}. Hold the others and record them.",
    "pre_group_met": "The client has met the therapist alone {count} of {needed} times before the group. Meet, and record each contact.",
    "risk_reviewed": "A risk seen by the day of this session has not been reviewed. Review it first.",
    "session_already_recorded": "This visit is already recorded as entry {entry}. Amend that entry if it is wrong.",
    "session_known": "Entry {entry} is not a session of this course. Choose one that is, or record the session first.",
    "session_signable.not_held": "The session of entry {entry} was not held, so it is not signed. Amend the entry if it was held.",
    "session_signable.signed": "The session of entry {entry} is already signed. Choose one that waits for a signature.",
    "session_signable.unknown": "Entry {entry} is not a session of this course. Choose one that waits for a signature.",
    "within_planned_end": (
        "The course was planned to end on {planned_end}. Agree more weeks first. If the session took place anyway, record it with kind"
        " `additional`."
    ),
    # setting
    "engagement_met": "There was no engagement session. Hold one, and record it as a contact of kind `engagement`.",
    "medium_allowed": "The protocol is made for sessions by {allowed}. Correct the medium if it is wrong.",
    "parent_involved": "No parent or guardian has taken part yet. Meet one, and record the session or the contact.",
    "participants_present": "The session was held without: {missing}. Correct the participants if they were there.",
    "step_up_referred": (
        "By {instruments} the client is still unwell, and has not been referred on. Refer the client on, or decide for a referral or an"
        " alternative."
    ),
    # suitability
    "age_fits": "{protocol} is for ages {youngest} to {oldest}. Consider another protocol.",
    "consent_given.by": "There is no consent to treatment by: {who}. Ask for it and record it.",
    "consent_given.treatment": "There is no consent to treatment. Ask for it and record it.",
    "consent_not_withdrawn": (
        "Consent to treatment has been withdrawn by: {who}. Ask for it again and record it, or end the course. What takes place meanwhile"
        " can be recorded."
    ),
    "format_fits": "{protocol} is given in another format: {format}. Choose that format, or consider another protocol.",
    "indication_fits": "{protocol} is not indicated for `{indication}`. Consider another protocol.",
    "provider_fits": "{protocol} is given by another provider: {provider}. Choose that provider, or consider another protocol.",
    "supervisor_named.none": "No supervisor has been named. Name one.",
    "supervisor_named.self": "The therapist cannot be their own supervisor. Name another person.",
    "therapist_assigned": "The course has no therapist. Transfer it to one.",
}


def render(sentence: str, parameters: Mapping[str, Parameter], *, rule: str, severity: Severity) -> str:
    """The message of a refusal: its sentence filled in. A soft refusal also says how a reason passes it."""
    words = {name: _in_words(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
    filled = sentence.format_map(words) if words else sentence
    return f"{filled} {BY_REASON.format(rule=rule)}" if severity == "soft" else filled


def _in_words(value: tuple[str | int, ...]) -> str:
    """A list in words: `a, b and c`, or `none`. Its items are codes or entries' numbers, and codes are read without underscores."""
    if not value:
        return "none"
    *others, last = (str(each).replace("_", " ") for each in value)
    return f"{', '.join(others)} and {last}" if others else last

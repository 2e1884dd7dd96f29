"""The course's state machine."""

from typing import Any

from viewflow import fsm

from courses.models import Course, State

OPEN = {State.REFERRED, State.INITIAL, State.MIDDLE, State.FINAL}


class CourseFlow:
    state = fsm.State(State, default=State.REFERRED)

    def __init__(self, course: Course) -> None:
        self.course = course

    @state.getter()
    def _state(self) -> State:
        return State(self.course.state)

    @state.setter()
    def _move(self, value: State) -> None:
        self.course.state = value

    @state.transition(source=State.REFERRED, target=State.INITIAL)
    def start(self, data: dict[str, Any]) -> None:
        pass

    @state.transition(source=State.INITIAL, target=State.MIDDLE)
    def begin_middle(self, data: dict[str, Any]) -> None:
        pass

    @state.transition(source=State.MIDDLE, target=State.FINAL)
    def begin_final(self, data: dict[str, Any]) -> None:
        pass

    @state.transition(source=State.FINAL, target=State.COMPLETED)
    def complete(self, data: dict[str, Any]) -> None:
        pass

    @state.transition(source=OPEN, target=State.ENDED_EARLY)
    def end_early(self, data: dict[str, Any]) -> None:
        pass

    @state.transition(source=fsm.State.ANY)
    def note(self, data: dict[str, Any]) -> None:
        pass

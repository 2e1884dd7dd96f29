"""A course: its state as the fold of its entries, and the triggers, payloads, rules and effects that change it. Pure."""

from ipt_workflow.course.course import Contract, Course, Rhythm, Track

__all__ = ["Contract", "Course", "Rhythm", "Track"]

"""A course, and an audit row for every transition."""

from django.conf import settings
from django.db import models


class State(models.TextChoices):
    REFERRED = "referred"
    INITIAL = "initial"
    MIDDLE = "middle"
    FINAL = "final"
    COMPLETED = "completed"
    ENDED_EARLY = "ended_early"


class Course(models.Model):
    client_ref = models.CharField(max_length=128)
    therapist = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    state = models.CharField(max_length=16, choices=State.choices, default=State.REFERRED)
    version = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)


class Transition(models.Model):
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="transitions")
    trigger = models.CharField(max_length=80)
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    data = models.JSONField()
    recorded_at = models.DateTimeField(auto_now_add=True, db_index=True)

"""Firing a transition over HTTP."""

from django.db import transaction
from django.shortcuts import get_object_or_404
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from viewflow import fsm

from courses.flow import CourseFlow
from courses.models import Course, Transition

TRIGGERS = ("start", "begin_middle", "begin_final", "complete", "end_early", "note")


class CommandSerializer(serializers.Serializer):
    trigger = serializers.ChoiceField(TRIGGERS)
    data = serializers.DictField(default=dict)


class CourseSerializer(serializers.ModelSerializer):
    class Meta:
        model = Course
        fields = ("id", "client_ref", "therapist", "state", "version", "updated_at")


class TransitionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Transition
        fields = ("id", "course", "trigger", "from_state", "to_state", "actor", "data", "recorded_at")


class Transitions(APIView):
    @transaction.atomic
    def post(self, request: Request, course_id: int) -> Response:
        command = CommandSerializer(data=request.data)
        command.is_valid(raise_exception=True)
        course = get_object_or_404(Course.objects.select_for_update(), pk=course_id, therapist=request.user)
        trigger, data, source = command.validated_data["trigger"], command.validated_data["data"], course.state
        try:
            getattr(CourseFlow(course), trigger)(data)
        except fsm.TransitionNotAllowed as refused:
            return Response({"detail": str(refused)}, status=status.HTTP_409_CONFLICT)
        course.version += 1
        course.save(update_fields=["state", "version", "updated_at"])
        entry = Transition.objects.create(
            course=course, trigger=trigger, from_state=source, to_state=course.state, actor=request.user, data=data
        )
        answer = {"entry": TransitionSerializer(entry).data, "course": CourseSerializer(course).data}
        return Response(answer, status=status.HTTP_201_CREATED)

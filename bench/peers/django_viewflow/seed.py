"""Makes the tables, so many courses in their middle phase, and a token, which it prints."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from courses.models import Course, State  # noqa: E402 - models need Django to be set up
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

call_command("migrate", verbosity=0)
therapist = User.objects.create(username="therapist-1")
Course.objects.bulk_create(
    Course(id=number, client_ref=f"BENCH-{number}", therapist=therapist, state=State.MIDDLE, version=20)
    for number in range(1, int(sys.argv[1]) + 1)
)
sys.stdout.write(Token.objects.create(user=therapist).key)

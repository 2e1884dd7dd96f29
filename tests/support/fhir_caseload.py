"""A caseload of three courses, and searches with the courses that each must find."""


def matched(bundle):
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == "match"]


async def posted(api, kind, role="therapist", **form):
    return await api.client.post(f"/fhir/R4/{kind}/_search", data=form, headers=api.headers(role))


async def caseload(api):
    """Three courses: referred; with two sessions; ended early."""
    courses = [(await api.open(f"EHR-{n}"))["id"] for n in (1, 2, 3)]
    await api.walk(courses[1], "record_consent", "start", "record_measure", "record_session", "record_session")
    await api.walk(courses[2], "record_consent", "start", "end_early")
    return courses


WANTED = [
    ("EpisodeOfCare", [0, 1, 2]),
    ("EpisodeOfCare?status=planned", [0]),
    ("EpisodeOfCare?status=active,cancelled", [1, 2]),
    ("EpisodeOfCare?status=active&status=cancelled", []),
    ("EpisodeOfCare?type=http://snomed.info/sct|443730003", [0, 1, 2]),
    ("EpisodeOfCare?type=ipt", [0, 1, 2]),
    ("EpisodeOfCare?date=ge2020", [0, 1, 2]),
    ("EpisodeOfCare?date=lt2020", []),
    ("EpisodeOfCare?care-manager:identifier=therapist-1", [0, 1, 2]),
    ("EpisodeOfCare?care-manager:identifier=therapist-2", []),
    ("EpisodeOfCare?organization:identifier=default", [0, 1, 2]),
    ("EpisodeOfCare?_lastUpdated=gt2100", []),
    ("CarePlan?status=revoked", [2]),
    ("CarePlan?activity-code=middle", [0, 1, 2]),
    ("CarePlan?category=443730003", [0, 1, 2]),
    ("CarePlan?instantiates-canonical=urn:ipt-workflow:PlanDefinition:ipt|2", [0, 1, 2]),
    ("CarePlan?date=ge2020", [0, 1, 2]),
    ("Encounter", [1, 1]),
    ("Encounter?status=finished&class=AMB&type=443730003", [1, 1]),
    ("Encounter?status=cancelled", []),
    ("Encounter?participant:identifier=urn:ipt-workflow:person|therapist-1", [1, 1]),
    ("Encounter?date=ge2020&date=lt2100", [1, 1]),
    ("Observation?code=44261-6", [1]),
    ("Observation?code=http://loinc.org|70274-6", []),
    ("Observation?category=survey&status=final&date=ge2020", [1]),
    ("QuestionnaireResponse?questionnaire=urn:ipt-workflow:Questionnaire:phq9", [1]),
    ("QuestionnaireResponse?questionnaire=urn:ipt-workflow:Questionnaire:gad7", []),
    ("QuestionnaireResponse?authored=ge2020&status=completed", [1]),
    ("Provenance?agent:identifier=therapist-1&_count=200", [0] + [1] * 6 + [2] * 4),
    ("Provenance?recorded=lt2020", []),
    ("Provenance?_lastUpdated=ge2020&_count=1", [0]),
]

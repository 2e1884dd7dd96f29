"""Effects of the first phase's documents and of the sick role."""

from collections.abc import Callable

from msgspec.structs import replace

from ipt_workflow.course.course import Course, Formulation, History, Inventory, Person, SickRole
from ipt_workflow.course.facts import Fact


def record_evaluation(course: Course, fact: Fact) -> Course:
    return replace(course, evaluated=bool(fact.data.get("diagnosis")))


def record_history(course: Course, fact: Fact) -> Course:
    given = tuple(sorted(name for name, value in fact.data.items() if value is True))
    return replace(course, history=History(given=given, not_obtained=tuple(sorted(fact.data.get("not_obtained", ())))))


def record_inventory(course: Course, fact: Fact) -> Course:
    before = course.inventory or Inventory()
    sections = {name for name, value in fact.data.items() if value is True}
    people = {person.id: person for person in before.people}
    for person in fact.data.get("people", ()):
        known = people.get(person["id"])
        deceased = person.get("deceased", known.deceased if known else False)
        people[person["id"]] = Person(id=person["id"], deceased=deceased)
    return replace(
        course,
        inventory=Inventory(
            sections=tuple(sorted({*before.sections, *sections})), people=tuple(people[key] for key in sorted(people))
        ),
    )


def record_timeline(course: Course, _fact: Fact) -> Course:
    return replace(course, timeline=True)


def record_formulation(course: Course, fact: Fact) -> Course:
    parts = {name for name in ("crisis", "social_support", "plain_words") if fact.data.get(name)}
    parts |= {f"vulnerabilities.{name}" for name, value in fact.data.get("vulnerabilities", {}).items() if value}
    accepted = course.formulation.accepted_version if course.formulation else None
    version = fact.data["version"]
    return replace(
        course,
        formulation=Formulation(version=version, parts=tuple(sorted(parts)), accepted_version=accepted),
        formulations=max(course.formulations, version),
    )


def accept_formulation(course: Course, fact: Fact) -> Course:
    formulation = course.formulation
    if formulation is None or formulation.version != fact.data["version"]:
        return course
    response = fact.data["response"]
    accepted = formulation.accepted_version if response == "declines" else formulation.version
    return replace(course, formulation=replace(formulation, response=response, accepted_version=accepted))


def assign_sick_role(course: Course, fact: Fact) -> Course:
    response = fact.data["response"]
    status = "declined" if response == "declines" else f"assigned_{fact.data['mode']}"
    return replace(course, sick_role=SickRole(status=status, response=response))


def update_sick_role(course: Course, fact: Fact) -> Course:
    role = course.sick_role
    response = fact.data.get("response", role.response)
    mode = fact.data.get("mode")
    status = f"assigned_{mode}" if mode else role.status
    if response == "declines":
        status = "declined"
    elif status == "declined":
        status = f"assigned_{mode or 'limited'}"
    return replace(course, sick_role=SickRole(status=status, response=response))


def sick_role_status(status: str) -> Callable[[Course, Fact], Course]:
    return lambda course, _fact: replace(course, sick_role=replace(course.sick_role, status=status))

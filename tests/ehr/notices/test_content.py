"""What was read has one form, however the message was printed."""

from support.fhir_bodies import appointment, form
from support.received import read

from ipt_workflow.ehr.notices.content import canonical


def test_a_tag_more_another_version_and_another_print_order_are_the_same_content():
    resource = form([0] * 9)
    again = dict(reversed(list(resource.items()))) | {"meta": {"versionId": "7", "tag": [{"code": "t"}]}}
    assert canonical(read(resource)) == canonical(read(again))


def test_another_order_of_the_clients_is_the_same_content():
    two = [{"actor": {"reference": f"Patient/{each}"}} for each in ("A", "B")]
    assert canonical(read(appointment(participant=two))) == canonical(read(appointment(participant=two[::-1])))


def test_another_answer_another_time_and_another_client_are_other_contents():
    contents = [
        form([0] * 9),
        form([0] * 8 + [3]),
        form([0] * 9, authored="2026-01-13T09:00:00Z"),
        form([0] * 9, subject={"reference": "Patient/EHR-2"}),
        form([0] * 9, status="entered-in-error"),
    ]
    assert len({canonical(read(each)) for each in contents}) == len(contents)


def test_two_answers_that_cannot_be_read_are_two_contents():
    one, other = form([0] * 9), form([0] * 9)
    one["item"][8]["answer"] = [{"valueString": "Not at all"}]
    other["item"][8]["answer"] = [{"valueString": "Nearly every day"}]
    assert canonical(read(one)) != canonical(read(other))


def test_two_unknown_statuses_are_two_contents():
    assert canonical(read(appointment(status="Fulfilled"))) != canonical(read(appointment(status="No show")))


def test_the_form_holds_no_value_that_could_not_be_read():
    resource = form([0] * 9)
    resource["item"][8]["answer"] = [{"valueString": "a secret"}]
    assert b"secret" not in canonical(read(resource))

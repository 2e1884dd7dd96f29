"""Whether a message of nobody known names a client, whatever it looks like."""

import pytest

from ipt_workflow.service.privacy.mentions import names


@pytest.mark.parametrize(
    ("body", "ref", "prefix"),
    [
        (b'{"data": {"client_ref": "EHR-1", "items": [9]}}', "EHR-1", ""),
        (b'{"data": {"client_ref": "7"}}', "7", ""),
        (b'{"data": {"client_ref": "M\\u00fcller-1"}}', "Müller-1", ""),
        (b'{"subject": {"reference": "Patient/4711"}}', "EHR-4711", "EHR-"),
        (b'{"subject": {"reference": "https://ehr.example/fhir/Patient/4711"}}', "4711", ""),
        (b'{"id": "7", "resourceType": "Patient"}', "7", ""),
        (b'{"identifier": [{"value": "EHR-4711"}]}', "EHR-4711", ""),
        (b'<Patient><id value="EHR-4711"/>', "EHR-4711", ""),
        (b'{"subject": {"reference": "Patient/EHR-4711"', "EHR-4711", ""),
    ],
)
def test_a_message_that_names_the_client_is_found(body, ref, prefix):
    assert names(body, ref, prefix)


@pytest.mark.parametrize(
    ("body", "ref", "prefix"),
    [
        (b'{"data": {"client_ref": "EHR-10"}}', "EHR-1", ""),
        (b'{"data": {"client_ref": "8", "items": [7], "text": "7"}}', "7", ""),
        (b'{"subject": {"reference": "Patient/47110"}}', "EHR-4711", "EHR-"),
        (b'{"subject": {"reference": "Patient/4711"}}', "EHR-4711", "OTHER-"),
        (b'{"resourceType": "Encounter", "id": "7"}', "7", ""),
        (b'{"identifier": [{"value": "EHR-4711-B"}]}', "EHR-4711", ""),
        (b"\xff\xfe", "EHR-4711", "EHR-4711"),
    ],
)
def test_a_message_about_others_is_not(body, ref, prefix):
    assert not names(body, ref, prefix)

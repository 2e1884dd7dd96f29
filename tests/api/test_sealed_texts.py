"""Texts under keys over HTTP: as they were written, and an answer that says what is wrong where the keys are missing."""

import pytest
from cryptography.fernet import Fernet

from ipt_workflow.store.schema import tables


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"secret_keys": Fernet.generate_key().decode()})


def test_a_missing_key_is_the_operators_and_says_so(api):
    async def test(api):
        course = (await api.open("EHR-1"))["id"]
        path = f"/v1/courses/{course}/transitions"
        (entry,) = (await api.get(path)).json()["items"]
        assert (entry["erased"], entry["data"]["source"]) == (False, "General practitioner")
        keys = await api.clinic.database.read(lambda c: c.execute(tables.client_key.select()).mappings().all())
        await api.clinic.database.write(lambda c: c.execute(tables.client_key.delete()))
        api.clinic.keys.forget(each["id"] for each in keys)
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
        assert "restore the table client_key" in answer.json()["detail"]

    api(test)

"""The verifier of the log is served to everybody, as the file that it is."""

from pathlib import Path

from ipt_workflow.journal.proof import ipt_verify

SOURCE = Path(ipt_verify.__file__).read_bytes()


def test_everybody_gets_the_verifier_byte_for_byte(api):
    async def test(api):
        answer = await api.client.get("/log/ipt_verify.py")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/x-python; charset=utf-8")
        assert answer.content == SOURCE

    api(test)

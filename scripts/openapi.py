"""Writes docs/openapi.json from the application's routes; the tests compare the two."""

from pathlib import Path

import msgspec

from ipt_workflow.api import openapi
from ipt_workflow.api.app import litestar_app
from ipt_workflow.runtime import settings

TARGET = Path(__file__).parent.parent / "docs" / "openapi.json"


def text() -> str:
    document = openapi.document(litestar_app(settings.load({})))
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1).decode() + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
    print(f"{TARGET.name} written")

"""The part of the OpenAPI document that says what is delivered: every type with its schema and an example."""

from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.ehr import signing
from ipt_workflow.ehr.deliveries import events

TYPES = (events.CHANGED, events.ATTENTION, events.DISABLED, events.PING, events.REFUSED)
HEADERS = {
    signing.ID: "Names the event: the same however often it comes. Take each once.",
    signing.TIMESTAMP: "When this attempt was made, in seconds since 1970. Refuse what is more than 300 seconds off.",
    signing.SIGNATURE: "Signatures of `{id}.{timestamp}.{body}`, separated by spaces: `v1,` HMAC-SHA256 or `v1a,` Ed25519, in base64.",
}

ANSWERS = {
    "2XX": ("WebhookTaken", "Taken."),
    "410": ("WebhookGone", "Gone: the subscription is disabled."),
    "429": ("WebhookTooMany", "Too many: `Retry-After` is honoured."),
    "default": ("WebhookNotTaken", "Not taken: it is tried again."),
}


def names() -> tuple[str, ...]:
    """Every type; of the phases' own triggers the pattern."""
    return (*TYPES, *(events.NAMED + row.name for row in triggers.TABLE))


def webhooks(reference: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The webhooks, and the components they refer to."""
    _, shapes = msgspec.json.schema_components([*dict.fromkeys(events.shape(name) for name in names())], ref_template=reference)
    parameters = {
        name: {"name": name, "in": "header", "required": True, "description": says, "schema": {"type": "string"}}
        for name, says in HEADERS.items()
    }
    responses = {name: {"description": says} for name, says in ANSWERS.values()}
    told = {name: {"post": _operation(name, reference)} for name in names()}
    return told, {"schemas": shapes, "parameters": parameters, "responses": responses}


def _operation(name: str, reference: str) -> dict[str, Any]:
    shape = events.shape(name)
    schema = {
        "type": "object",
        "properties": {
            "type": {"pattern": "^course\\.begin_[a-z0-9_]+$"} if name.endswith(">") else {"const": name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": reference.format(name=shape.__name__)},
        },
        "required": ["type", "timestamp", "data"],
    }
    example = msgspec.to_builtins(events.example(name.replace("<phase>", "middle")))
    return {
        "summary": name,
        "description": " ".join((shape.__doc__ or "").split()),
        "tags": ["webhooks"],
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header in HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": {status: {"$ref": f"#/components/responses/{answer}"} for status, (answer, _) in ANSWERS.items()},
    }

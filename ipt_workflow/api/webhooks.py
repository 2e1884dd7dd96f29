"""The webhooks in the OpenAPI document: every event type with its schema and an example."""

from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import events

TYPES = (events.CHANGED, events.ATTENTION, events.WITHHELD, events.RESUMED, events.DISABLED, events.PING, events.REFUSED)
HEADERS = {
    signatures.ID: "The event's id, the same in every attempt. Process each id once.",
    signatures.TIMESTAMP: "The time of this attempt, in seconds since 1970. Refuse a message that is more than 300 seconds off.",
    signatures.SIGNATURE: "Signatures of `{id}.{timestamp}.{body}`, separated by spaces: `v1,` HMAC-SHA256 or `v1a,` Ed25519, in base64.",
}

RESPONSES = {
    "2XX": ("WebhookTaken", "Accepted."),
    "410": ("WebhookGone", "Gone: the service disables the subscription."),
    "429": ("WebhookTooMany", "Too many requests: the service waits as `Retry-After` requests."),
    "default": ("WebhookNotTaken", "Not accepted: the service tries again later."),
}


def names() -> tuple[str, ...]:
    """Every event type. The triggers that begin a phase share one pattern."""
    return (*TYPES, *(events.NAMED + row.name for row in triggers.TABLE))


def webhooks(reference: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The webhooks by type, and the components they refer to."""
    _, shapes = msgspec.json.schema_components([*dict.fromkeys(events.shape(name) for name in names())], ref_template=reference)
    parameters = {
        name: {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in HEADERS.items()
    }
    responses = {name: {"description": text} for name, text in RESPONSES.values()}
    operations = {name: {"post": _operation(name, reference)} for name in names()}
    return operations, {"schemas": shapes, "parameters": parameters, "responses": responses}


def _operation(name: str, reference: str) -> dict[str, Any]:
    shape = events.shape(name)
    schema = {
        "type": "object",
        "properties": {
            "type": {"type": "string", **({"pattern": "^course\\.begin_[a-z0-9_]+$"} if name.endswith(">") else {"const": name})},
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
        "responses": {status: {"$ref": f"#/components/responses/{response}"} for status, (response, _) in RESPONSES.items()},
    }

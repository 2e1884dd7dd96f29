"""JSON merge patches (RFC 7396)."""

from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch applied: null removes a member, an object is merged, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The patch that makes `before` into `after`."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        known = before.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            if inner := difference(known, value):
                patch[name] = inner
        elif name not in before or known != value:
            patch[name] = value
    return patch

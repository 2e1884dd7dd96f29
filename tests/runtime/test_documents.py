"""JSON and TOML from outside: whatever is wrong with a document is said in words, however it was meant."""

import pytest

from ipt_workflow.errors import CommandMalformed
from ipt_workflow.runtime import documents, settings
from ipt_workflow.runtime.documents import DEPTH_MAX, TOML_BYTES_MAX, json_value, toml_table


@pytest.mark.parametrize(
    ("raw", "why"),
    (
        (b"", "is not JSON: Input data was truncated"),
        (b"{", "is not JSON"),
        (b'"\xff"', "it is not UTF-8 at byte 1 of a text"),
        (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark"),
        ("{}".encode("utf-16"), "is not JSON"),
        (b"[" * 100_000, "nested more than 256 deep"),
        (b"[" * 500 + b"]" * 500, "nested more than 256 deep"),
        (b'{"a":' * 257 + b"1" + b"}" * 257, "nested more than 256 deep"),
        (b'{"a": 1e400}', "Number out of range"),
        (b'"\\ud800"', "is not JSON"),
    ),
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_json_that_cannot_be_read_is_refused_with_the_reason(raw, why):
    with pytest.raises(CommandMalformed, match=why):
        json_value(raw)


def test_json_may_be_as_wide_as_it_likes_and_as_deep_as_anything_here_is():
    assert json_value(b"[" + b"[1]," * 5000 + b"[1]]")[0] == [1]
    deepest = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert json_value(deepest)
    with pytest.raises(CommandMalformed):
        json_value(b"[" + deepest + b"]")


@pytest.mark.parametrize(
    ("raw", "why"),
    (
        (b"a = ", "Invalid value"),
        (b'a = "\xff"', "not UTF-8 at byte 6"),
        (b"\xef\xbb\xbfa = 1", "byte order mark"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested more than 256 deep"),
        (b"a" + b".a" * 2000 + b" = 1", "nested more than 256 deep"),
        (b"a = " + b"9" * 5000, "4300 digits"),
        (b"#" * (TOML_BYTES_MAX + 1), "more than 262144 bytes"),
    ),
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_toml_that_cannot_be_read_is_refused_with_the_reason(tmp_path, raw, why):
    path = tmp_path / "service.toml"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=why):
        toml_table(path)
    with pytest.raises(settings.SettingsInvalid, match=why):
        settings.load({"IPT_CONFIG_DIR": str(tmp_path)})


def test_toml_without_an_end_is_not_read_to_its_end(tmp_path):
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="more than"):
        toml_table(tmp_path / "zero.toml")


def test_a_table_of_ours_is_read(tmp_path):
    (tmp_path / "a.toml").write_bytes(b'a.b = "\xc3\xab"')
    assert documents.toml_table(tmp_path / "a.toml") == {"a": {"b": "ë"}}

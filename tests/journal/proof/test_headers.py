"""A checkpoint on one line: it carries all that the signed note does, and no line that is too long."""

import pytest

from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved, leaf_hash
from ipt_workflow.service.audit import log_keys


def signed(origin: str, size: int = 2**62) -> ipt_verify.SignedNote:
    keys = log_keys.of_log(log_keys.new_file(), origin)
    return log_keys.signed(Checkpoint(origin, size, leaf_hash(b"x")).text(), keys, 0)


def test_a_header_is_the_note_with_the_signature_of_the_log_alone():
    note = signed("clinic.example/default")
    header = ipt_verify.header_of(note)
    assert len(header.split(" ")) == 4
    assert ipt_verify.read_header(header) == note._replace(signatures=note.signatures[:1])
    assert ipt_verify.read_kept(header + "\n") == ipt_verify.read_header(header)
    assert ipt_verify.read_kept(str(note)) == note


@pytest.mark.parametrize(("length", "fits"), [(204, True), (250, False)])
def test_a_header_is_never_longer_than_400_bytes(length, fits):
    header = ipt_verify.header_of(signed("x" * length))
    assert (header is not None) == fits
    assert header is None or len("ipt-log-checkpoint: " + header) <= 400


def test_what_no_line_can_hold_has_no_header():
    assert ipt_verify.header_of(signed("klinik.example/köln")) is None
    note = signed("clinic.example/default")
    assert ipt_verify.header_of(note._replace(signatures=note.signatures[1:])) is None
    extended = log_keys.signed(note.text + "more\n", log_keys.of_log(log_keys.new_file(), "clinic.example/default"), 0)
    assert ipt_verify.header_of(extended) is None


@pytest.mark.parametrize("header", ["", "a b c", "a b c d e", "clinic.example/default 7 root signature"])
def test_what_is_no_header_is_refused(header):
    with pytest.raises(NotProved):
        ipt_verify.read_kept(header)

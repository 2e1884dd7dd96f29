"""The picture of a protocol: well-formed, without style of its own, and with every state and every way between states."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ipt_workflow.course import transitions_table
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.protocols.definition import NEW
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.web.admin.diagram import protocol_diagram, ways

CONFIG = Path(__file__).parents[3] / "config"
SVG = "{http://www.w3.org/2000/svg}"
PROTOCOLS = load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES).protocols


def drawn(protocol, **words):
    known = {state: words.get(state, state) for state in transitions_table.states(protocol)}
    text = protocol_diagram(protocol, known, "Title", "A sentence.")
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda each: each.key)
def test_every_state_is_a_box_and_every_way_a_line(protocol):
    picture = drawn(protocol)
    assert len(picture.findall(f"{SVG}rect")) == len(transitions_table.states(protocol)) - 1  # `new` is no state that one sees
    lines = [path.get("d") for path in picture.findall(f"{SVG}path")]
    assert len(lines) == len([way for way in ways(protocol) if way.source != NEW])
    assert len(set(lines)) == len(lines)  # none lies upon another


def test_the_picture_has_no_style_or_script_of_its_own():
    for element in drawn(PROTOCOLS["ipt", 2]).iter():
        assert element.tag not in {f"{SVG}style", f"{SVG}script"}
        assert not {"style", "fill", "stroke", "onclick"} & set(element.attrib)


def test_who_does_not_see_it_is_told_what_it_is_in_a_sentence():
    picture = drawn(PROTOCOLS["ipt", 2])
    labels = picture.get("aria-labelledby").split()
    assert [each.text for each in picture.iter() if each.get("id") in labels] == ["Title", "A sentence."]


def test_a_title_cannot_break_out_of_the_picture():
    picture = drawn(PROTOCOLS["ipt", 2], initial="<script>&\nLong words of a phase that nobody can read at a glance")
    texts = [each.text for each in picture.findall(f"{SVG}text")]
    assert "<script>&" in texts
    assert any(text.endswith("…") for text in texts)


def test_the_boxes_stay_inside_the_picture():
    for protocol in PROTOCOLS.values():
        picture = drawn(protocol)
        _, _, width, height = map(float, picture.get("viewBox").split())
        for box in picture.findall(f"{SVG}rect"):
            left, top, wide, high = (float(box.get(name)) for name in ("x", "y", "width", "height"))
            assert left >= 0
            assert top >= 0
            assert left + wide <= width
            assert top + high <= height

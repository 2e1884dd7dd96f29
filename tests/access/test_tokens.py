"""Fixed tokens and access tokens have one form, which scanners of secrets know from docs/operating.md."""

import re
import tomllib

from support.pages import blocks

from ipt_workflow.access import tokens


def test_the_rule_for_scanners_finds_every_token_in_a_text_and_nothing_like_it():
    (shown,) = [tomllib.loads(each) for each in blocks("operating.md", "toml") if "ipt_" in each]
    (rule,) = shown["rules"]
    pattern = re.compile(rule["regex"])
    for _ in range(50):
        text = tokens.mint().text
        assert pattern.findall(f'curl -H "Authorization: Bearer {text}"\n') == [text]
        assert all(word in text for word in rule["keywords"])
        assert not pattern.search(f"{text}x")
    assert not pattern.search("ipt_workflow ipt_0123456789abcdef_")

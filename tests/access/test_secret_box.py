"""Secrets at rest."""

import pytest
from cryptography.fernet import Fernet

from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.errors import SecretUnreadable

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_sealed_secret_does_not_show_and_is_opened_with_its_key():
    sealed = SecretBox([OLD]).seal("whsec_abc")
    assert "abc" not in sealed
    assert SecretBox([OLD]).open(sealed) == "whsec_abc"


def test_a_new_key_is_put_before_the_old_one_which_still_opens_what_it_sealed():
    sealed = SecretBox([OLD]).seal("whsec_abc")
    both = SecretBox([NEW, OLD])
    assert both.open(sealed) == "whsec_abc"
    assert SecretBox([NEW]).open(both.seal("whsec_def")) == "whsec_def"


@pytest.mark.parametrize("keys", ([], [NEW]))
def test_without_its_key_a_sealed_secret_is_not_opened_and_not_taken_for_a_plain_one(keys):
    with pytest.raises(SecretUnreadable, match="IPT_SECRET_KEYS"):
        SecretBox(keys).open(SecretBox([OLD]).seal("whsec_abc"))


def test_without_keys_secrets_are_kept_as_they_are_and_a_key_that_comes_later_reads_them():
    kept = SecretBox([]).seal("whsec_abc")
    assert SecretBox([]).open(kept) == SecretBox([NEW]).open(kept) == "whsec_abc"

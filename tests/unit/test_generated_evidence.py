"""What was asked of a key pair stands fast: nobody on the way changes its type, its password or its encryption."""

import pytest

from shared.contracts.content import WantedKey
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.evidence.verification import verify_revision
from shared.identifiers import new_request_id
from shared.x509.encryption import Pkcs12Encryption
from tests import world
from tests.world import NOW, wanting

POLICY = world.policy(world.generating_policy())
ANCHOR = Anchor.of(POLICY)


def begun() -> world.Approved:
    asked = wanting()
    return world.accepted(asked, revision=world.revision_of(asked, POLICY))


def changed(wanted: WantedKey | None, what: str) -> WantedKey:
    assert wanted is not None
    other = wanting(new_request_id()).generated
    assert other is not None
    changes: dict[str, dict[str, object]] = {
        "key type": {"key_type": "rsa-2048"},
        "password": {"sealed_password": other.sealed_password},
        "encryption": {"pkcs12": Pkcs12Encryption.TRIPLE_DES},
    }
    return wanted.model_copy(update=changes[what])


def codes(chain: world.Approved) -> set[str]:
    with pytest.raises(RefusedError) as refused:
        verify_revision(chain.evidence, ANCHOR, now=NOW)
    return {found.code for found in refused.value.findings}


@pytest.mark.parametrize("what", ["key type", "password", "encryption"])
def test_neither_intake_nor_approval_nor_an_editor_changes_what_is_to_be_made(what: str) -> None:
    chain = begun()
    verify_revision(chain.evidence, ANCHOR, now=NOW)
    other = changed(chain.revision.generated, what)
    asked = wanting(chain.revision.request_id)
    assert asked.generated is not None
    lie = chain.revision.model_copy(update={"generated": other})
    token = world.accepted(asked, revision=lie)
    assert "evidence.content-differs" in codes(
        world.Approved(token.evidence.model_copy(update={"submission": chain.evidence.submission}), lie, token.digest)
    )
    assert "evidence.edit-differs" in codes(world.edited(chain, POLICY, changes={"generated": other}, name="another"))


def test_an_edit_of_the_rest_leaves_the_key_pair_as_it_was_asked_for() -> None:
    chain = begun()
    edited = world.edited(chain, POLICY, name="another")
    _, verified = verify_revision(edited.evidence, ANCHOR, now=NOW)
    assert (verified.revision.name, verified.revision.generated) == ("another", chain.revision.generated)

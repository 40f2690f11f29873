"""All that is signed is shown, or it is said why not."""

from types import SimpleNamespace
from typing import Any, cast

from services.desk.case_view import basic_rows, profile_rows
from shared.evidence.steps import Revision
from shared.policy.model import GeneratedRules
from shared.policy.resolution import ResolvedPolicy
from shared.x509.encryption import Pkcs12Encryption
from tests import world

SHOWN_OF_A_REVISION = {
    *("request_id", "number", "submission", "predecessor", "requesters", "name", "csr", "generated", "public_key"),
    *("subject", "names", "extensions", "expires_on", "notes", "emails", "policy", "policy_digest", "findings"),
    *("edit", "editors"),
}
NOT_SHOWN_OF_A_REVISION = {
    "method": "the row of the key says it",
    "editor_people": "the editors are shown; who they were as people is for the duties to compare",
}
SHOWN_OF_ITS_POLICY = {
    *("signing_certificate", "approval_group", "extension_profile", "dn_profile", "quorum", "trust", "product"),
    *(
        "organization_id",
        "container_id",
        "ca_cert_id",
        "intermediate",
        "signature_hash",
        "max_validity_days",
        "generated",
    ),
}
NOT_SHOWN_OF_ITS_POLICY = {
    "requester_counts": "what counts is shown with each approval",
    "editor_may_approve": "what counts is shown with each approval",
    "key_types": "the key is shown; which others the policy allows changes nothing",
    "extensions": "the extensions are shown that follow from the profile, and its name",
    "dn": "the subject is shown that follows from the profile, and its name",
}


def test_nothing_can_become_part_of_what_is_signed_without_somebody_deciding_whether_it_is_shown() -> None:
    assert set(Revision.model_fields) == SHOWN_OF_A_REVISION | set(NOT_SHOWN_OF_A_REVISION)
    assert set(ResolvedPolicy.model_fields) == SHOWN_OF_ITS_POLICY | set(NOT_SHOWN_OF_ITS_POLICY)


def test_of_a_key_pair_that_the_issuer_makes_it_is_shown_how_weakly_it_is_handed_over_and_when_it_is_erased() -> None:
    rules = GeneratedRules(pkcs12_3des=True, erase_after_hours=48)
    wanted = world.wanting(key_type="rsa-2048", pkcs12="3des").generated
    assert wanted is not None
    assert wanted.pkcs12 is Pkcs12Encryption.TRIPLE_DES
    revision = world.accepted().revision
    resolved = revision.policy.model_copy(update={"generated": rules, "container_id": 4711})
    shown = SimpleNamespace(revision=revision.model_copy(update={"generated": wanted, "policy": resolved}), csr=None)
    rows = dict([*basic_rows(cast("Any", shown)), *profile_rows(cast("Any", shown))])
    assert "WEAK" in str(rows["Handed over as"])
    assert str(rows["Erased"]) == "once it was downloaded or 48 hours after the issue"
    assert "container 4711" in str(rows["CA certificate"])

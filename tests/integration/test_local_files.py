"""The files that the local set-up writes."""

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local import toml
from deploy.local.files import kept_secret, write_secret
from deploy.local.policy import LocalCa, keyed_names, localized
from deploy.local.stack import EXAMPLE_POLICY

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
CA = LocalCa(organization_id=7, ca_cert_id="C7", certificate_file="a.pem", intermediate_file="b.pem")


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_a_written_document_reads_back_the_same(document: dict[str, object]) -> None:
    assert tomllib.loads(toml.dumps(document)) == document


def test_what_toml_has_no_word_for_is_not_written() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        toml.dumps({"nothing": None})


def test_a_localized_policy_differs_from_the_example_in_keys_and_ca_only() -> None:
    example = tomllib.loads(EXAMPLE_POLICY.read_text())
    keys = {name: f"key of {name}" for name in keyed_names(example)}
    made = localized(example, keys=keys, opening="to seal to", ca=CA)
    assert made["duties"]["intake"]["keys"] == [{"kty": "OKP", "crv": "Ed25519", "x": "key of intake"}]
    assert {name for name, signing in made["signing_certificates"].items() if signing["organization_id"] == 7} == set(
        example["signing_certificates"]
    )
    for owners in ("duties", "identities"):
        for name, owner in example[owners].items():
            assert {**made[owners][name], "keys": owner.get("keys")} == {**owner, "keys": owner.get("keys")}
    untouched = set(example) - {"duties", "identities", "signing_certificates"}
    assert {part: made[part] for part in untouched} == {part: example[part] for part in untouched}


def test_an_identity_without_a_key_is_given_none() -> None:
    example = {"duties": {"intake": {"keys": ["old"]}}, "identities": {"portal": {"kind": "system"}}}
    assert keyed_names(example) == ("intake",)
    made = localized({**example, "signing_certificates": {}}, keys={"intake": "new"}, opening="to seal to", ca=CA)
    assert made["identities"] == {"portal": {"kind": "system"}}


def test_a_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "password"
    secret = kept_secret(path)
    assert len(secret) >= 32
    assert kept_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_secret_is_replaced_whole(tmp_path: Path) -> None:
    path = write_secret(tmp_path / "key", "a long first content")
    write_secret(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]

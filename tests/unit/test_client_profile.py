from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.client.profile import Profile, default_profile_file, read_anchor, read_key, read_profile, read_signer
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from tests import world

WHOLE = """
identity = "alice"
[broker]
host = "127.0.0.1"
port = 5672
virtual_host = "ra"
password_file = "alice.password"
[signing]
key_file = "keys/alice.pem"
[trust]
anchor_file = "/etc/ra/anchor.json"
"""


def _profile(folder: Path, text: str = WHOLE) -> Profile:
    path = folder / "profile.toml"
    path.write_text(text)
    return read_profile(path)


def _key(path: Path, passphrase: bytes | None = None) -> Path:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    )
    path.chmod(0o600)
    return path


def test_relative_paths_are_relative_to_the_profiles_own_folder(tmp_path: Path) -> None:
    profile = _profile(tmp_path)
    assert profile.broker.password_file == tmp_path / "alice.password"
    assert profile.signing is not None
    assert profile.signing.key_file == tmp_path / "keys" / "alice.pem"
    assert profile.trust is not None
    assert profile.trust.anchor_file == Path("/etc/ra/anchor.json")


def test_key_and_anchor_may_be_left_out(tmp_path: Path) -> None:
    profile = _profile(tmp_path, WHOLE.split("[signing]", maxsplit=1)[0])
    assert profile.signing is None
    assert profile.trust is None
    assert read_signer(profile) is None


def test_every_mistake_in_a_profile_is_named_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("5672", "0").replace('"alice"', '"alice.#"').replace("virtual_host", "vhost")
    with pytest.raises(RefusedError) as refused:
        _profile(tmp_path, text)
    told = " ".join(found.message for found in refused.value.findings)
    assert {found.code for found in refused.value.findings} == {"config.invalid"}
    assert all(part in told for part in ("identity", "broker.port", "broker.virtual_host", "broker.vhost"))


def test_the_environment_names_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RA_PROFILE", "/somewhere/profile.toml")
    assert default_profile_file() == Path("/somewhere/profile.toml")
    monkeypatch.delenv("RA_PROFILE")
    assert default_profile_file() == Path.home() / ".config" / "ra" / "profile.toml"


def test_a_passphrase_is_asked_for_only_when_the_key_is_encrypted(tmp_path: Path) -> None:
    plain, locked = _key(tmp_path / "plain.pem"), _key(tmp_path / "locked.pem", b"correct horse")
    assert read_key(plain).public != read_key(locked, lambda _: "correct horse").public
    with pytest.raises(RefusedError, match=r"config\.passphrase-missing"):
        read_key(locked)


def test_what_is_no_usable_key_is_said_without_showing_it(tmp_path: Path) -> None:
    locked = _key(tmp_path / "locked.pem", b"correct horse")
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    for path in (locked, other, garbage, tmp_path / "missing.pem"):
        with pytest.raises(RefusedError) as refused:
            read_key(path, lambda _: "wrong")
        assert refused.value.findings[0].code == "config.key-unreadable"
        assert str(path) in refused.value.findings[0].message
        assert "wrong" not in refused.value.findings[0].message.replace("is wrong", "")


def test_an_anchor_is_read_as_it_was_written_and_must_be_whole(tmp_path: Path) -> None:
    anchor = Anchor.of(world.policy())
    path = tmp_path / "anchor.json"
    path.write_bytes(anchor.canonical())
    assert read_anchor(path) == anchor
    for broken in (
        anchor.model_copy(update={"format": "countersign-anchor/9"}),
        anchor.model_copy(update={"duties": {}}),
    ):
        path.write_bytes(broken.canonical())
        with pytest.raises(RefusedError, match=r"config\.anchor-invalid"):
            read_anchor(path)
    path.write_bytes(b"{}")
    with pytest.raises(RefusedError, match=r"config\.anchor-invalid"):
        read_anchor(path)

"""`ra signing-certificates attest`: an officer's word on exactly one combination, beside the policy."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from services.desk.__main__ import app
from services.desk.exits import Exit
from shared.attestations import attestations_file, read_attestations
from shared.clock import SystemClock
from shared.evidence.compatibility import attested_until
from shared.evidence.dual_control import Officer
from shared.evidence.jws import SigningKey
from shared.vocabulary.keys import PublicKey
from tests import world

NOW = SystemClock().now()


class Office:
    """A folder with a policy and an officer's key."""

    def __init__(self, folder: Path) -> None:
        self.policy, self.key = folder / "policy.toml", folder / "olivia.pem"
        self.policy.write_text(world.policy_text())
        (folder / "intermediate.pem").write_bytes(world.pem(world.shared_ca().intermediate))
        (folder / "imported.pem").write_bytes(world.pem(world._imported()))
        private = Ed25519PrivateKey.generate()
        self.key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.key.chmod(0o600)

    def attest(self, name: str = "public-tls", *, days: int = 30) -> Result:
        until = (NOW + timedelta(days=days)).date().isoformat()
        files = ("--policy", str(self.policy), "--key", str(self.key))
        result = CliRunner().invoke(app, ["signing-certificates", "attest", name, "--until", until, *files])
        assert "Traceback" not in result.output
        return result

    @property
    def officer(self) -> Officer:
        return Officer.model_validate({"name": "olivia", "key": PublicKey(x=SigningKey.from_file(self.key).public.x)})


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_what_was_attested_stands_beside_the_policy_and_counts_as_the_officers_word(office: Office) -> None:
    for days in (10, 20):
        assert office.attest(days=days).exit_code == Exit.OK
    found = read_attestations(office.policy)
    assert len(found.attestations) == 1
    last = attested_until(found, world.combination(), [office.officer], now=NOW + timedelta(days=1))
    assert last == (NOW + timedelta(days=20)).date()


@pytest.mark.parametrize(("name", "days"), [("private-tls", 30), ("public-tls", 93), ("public-tls", -1)])
def test_what_cannot_be_attested_is_refused_and_leaves_no_file(office: Office, name: str, days: int) -> None:
    assert office.attest(name, days=days).exit_code == Exit.REFUSED
    assert not attestations_file(office.policy).exists()

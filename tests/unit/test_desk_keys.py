import base64
import json
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from services.desk.__main__ import app
from services.desk.exits import Exit
from services.desk.keys import new_key_pem
from shared.client.profile import read_key
from shared.errors import RefusedError
from shared.policy.model import DutyKeys
from shared.x509.der import integer
from shared.x509.encryption import ROUNDS

RUN = CliRunner()


def test_a_new_key_is_the_owners_alone_and_its_line_fits_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    result = RUN.invoke(app, ["keys", "new", str(path), "--no-passphrase"])
    assert result.exit_code == Exit.OK
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    line = next(line for line in result.stdout.splitlines() if line.startswith("keys = "))
    assert DutyKeys.model_validate(tomllib.loads(line), strict=False).keys == (read_key(path).public,)
    assert "PRIVATE" not in result.output
    assert "Warning: it has no passphrase" in result.stdout


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("precious")
    result = RUN.invoke(app, ["keys", "new", str(path), "--no-passphrase"])
    assert result.exit_code == Exit.USAGE
    assert "is left as it is" in result.stderr
    assert path.read_text() == "precious"


def test_a_key_with_a_passphrase_opens_with_it_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secret = tmp_path / "key.pem", tmp_path / "passphrase"
    secret.write_text("correct horse gravel teapot\n")
    monkeypatch.setenv("RA_KEY_PASSPHRASE_FILE", str(secret))
    assert RUN.invoke(app, ["keys", "new", str(path)]).exit_code == Exit.OK
    with pytest.raises(RefusedError):
        read_key(path, lambda _: "battery staple")
    shown = RUN.invoke(app, ["keys", "show", str(path), "--json"])
    assert json.loads(shown.stdout)["kid"] == read_key(path, lambda _: "correct horse gravel teapot").public.kid
    secret.write_text("battery staple")
    wrong = RUN.invoke(app, ["keys", "show", str(path)])
    assert wrong.exit_code == Exit.CONFIGURATION
    assert "battery" not in wrong.output


def test_a_passphrase_cant_be_asked_for_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RA_KEY_PASSPHRASE_FILE", raising=False)
    path = tmp_path / "key.pem"
    result = RUN.invoke(app, ["keys", "new", str(path)])
    assert result.exit_code == Exit.USAGE
    assert "--passphrase-file, or --no-passphrase" in result.stderr
    assert not path.exists()


def _answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Somebody at a terminal who answers so."""
    given = iter(answers)
    monkeypatch.delenv("RA_KEY_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr("services.desk.passphrase._ask", lambda _: next(given))
    monkeypatch.setattr("services.desk.passphrase._is_terminal", lambda: True)


def test_unless_it_is_told_otherwise_a_new_key_has_a_passphrase_that_is_asked_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answering(monkeypatch, "correct horse gravel teapot", "correct horse gravel teapot")
    path = tmp_path / "key.pem"
    result = RUN.invoke(app, ["keys", "new", str(path)])
    assert result.exit_code == Exit.OK
    assert "Warning" not in result.output
    with pytest.raises(RefusedError):
        read_key(path)
    assert read_key(path, lambda _: "correct horse gravel teapot").public.kid in result.stdout


@pytest.mark.parametrize("from_file", [True, False], ids=["file", "standard input"])
def test_without_a_terminal_the_passphrase_comes_from_where_it_is_said(
    *, from_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RA_KEY_PASSPHRASE_FILE", raising=False)
    path, secret = tmp_path / "key.pem", tmp_path / "passphrase"
    secret.write_text("correct horse gravel teapot\n")
    place = str(secret) if from_file else "-"
    result = RUN.invoke(
        app, ["keys", "new", str(path), "--passphrase-file", place], input="correct horse gravel teapot\n"
    )
    assert result.exit_code == Exit.OK
    assert read_key(path, lambda _: "correct horse gravel teapot").public.kid in result.stdout


@pytest.mark.parametrize("options", [["--passphrase-file", "-"], ["--passphrase-file", "-", "--no-passphrase"]])
def test_an_empty_or_contradicted_passphrase_makes_no_key(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert RUN.invoke(app, ["keys", "new", str(path), *options], input="\n").exit_code == Exit.USAGE
    assert not path.exists()


def test_two_passphrases_that_differ_make_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RA_KEY_PASSPHRASE_FILE", raising=False)
    _answering(monkeypatch, "correct horse gravel teapot", "another horse gravel teapot")
    path = tmp_path / "key.pem"
    assert RUN.invoke(app, ["keys", "new", str(path)]).exit_code == Exit.USAGE
    assert not path.exists()


def test_guessing_a_keys_passphrase_costs_as_much_as_that_of_a_requests_key() -> None:
    pem = new_key_pem("correct horse gravel teapot")
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem
    assert integer(ROUNDS) in base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    assert isinstance(load_pem_private_key(pem, b"correct horse gravel teapot"), Ed25519PrivateKey)
    read = subprocess.run(
        ["openssl", "pkey", "-passin", "pass:correct horse gravel teapot", "-noout"],
        input=pem,
        capture_output=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr


@pytest.mark.parametrize("weak", ["a", "short one", "passwordpassword", "aaaaaaaaaaaaaaaa"])
def test_a_passphrase_that_is_easy_to_guess_makes_no_key(weak: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    result = RUN.invoke(app, ["keys", "new", str(path), "--passphrase-file", "-", "--json"], input=weak)
    assert result.exit_code == Exit.REFUSED
    assert {found["code"] for found in json.loads(result.stdout)["findings"]} <= {
        "password.too-short",
        "password.too-weak",
    }
    assert not path.exists()


def test_a_passphrase_is_the_same_from_wherever_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secret = tmp_path / "key.pem", tmp_path / "passphrase"
    secret.write_text(" correct horse gravel teapot \n")
    made = RUN.invoke(app, ["keys", "new", str(path), "--passphrase-file", "-"], input=secret.read_text())
    assert made.exit_code == Exit.OK
    monkeypatch.setenv("RA_KEY_PASSPHRASE_FILE", str(secret))
    assert RUN.invoke(app, ["keys", "show", str(path)]).exit_code == Exit.OK
    assert read_key(path, lambda _: " correct horse gravel teapot ").public.kid in made.stdout


def test_what_is_no_text_is_no_passphrase(tmp_path: Path) -> None:
    result = RUN.invoke(app, ["keys", "new", str(tmp_path / "k"), "--passphrase-file", "-"], input=b"\xff\xfe")
    assert result.exit_code == Exit.CONFIGURATION
    assert "no text in UTF-8" in result.stderr


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o666])
def test_a_key_without_a_passphrase_that_others_can_get_at_is_not_used(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert RUN.invoke(app, ["keys", "new", str(path), "--no-passphrase"]).exit_code == Exit.OK
    assert RUN.invoke(app, ["keys", "show", str(path)]).exit_code == Exit.OK
    path.chmod(mode)
    refused = RUN.invoke(app, ["keys", "show", str(path)])
    assert refused.exit_code == Exit.CONFIGURATION
    assert "chmod 600" in refused.stderr

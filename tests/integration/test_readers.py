"""Other people's software reads what is delivered, and Countersign what it makes of that: docs/formats.md, tried."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import RefusedError
from shared.password import Password
from shared.vocabulary.formats import DownloadFormat
from shared.x509 import encryption, pkcs12
from shared.x509.csr import parse_csr
from shared.x509.delivery import render
from shared.x509.encryption import Pkcs12Encryption
from shared.x509.keypairs import generate, public_key_der, request_for
from shared.x509.names import DistinguishedName, SubjectAltNames
from tests.world import DAY, NOW, shared_ca

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
ROW = re.compile(
    r"^\| (\w+) ([\d.]+) \| `([\w-]+)`(?:, `(\w+)`)? \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", re.MULTILINE
)
FAMILIES = ("rsa", "ecdsa", "ed25519", "ml-dsa")
TYPES = {
    "rsa": ("rsa-2048", "rsa-3072", "rsa-4096"),
    "ecdsa": ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521"),
    "ed25519": ("ed25519",),
    "ml-dsa": ("ml-dsa-44", "ml-dsa-65", "ml-dsa-87"),
}
SLOW = "rsa-2048"
"""The key type whose PKCS#12 files have all their rounds: that is a number in the file, and readers take their time."""
NAME = "www.example.com"
PASSWORD = Password("gravel-Pilot7-umbra-tofu")
QUICK_JAVA = ("-J-XX:+UseSerialGC",)
COMMANDS = ("openssl", "keytool", "java", "certutil", "pk12util", "node")
# Node once for all files: it takes the longest to start, and says of each file what it made of it.
NODE = """
const crypto = require("crypto"), tls = require("tls"), fs = require("fs");
const [password, ...files] = process.argv.slice(1);
const said = {};
for (const file of files) {
  const data = fs.readFileSync(file);
  try {
    if (file.endsWith("pkcs12")) tls.createSecureContext({ pfx: data, passphrase: password });
    said[file] = file.endsWith("pkcs12")
      ? "usable"
      : new crypto.X509Certificate(data).publicKey.export({ type: "spki", format: "der" }).toString("hex");
  } catch (error) { said[file] = null; }
}
console.log(JSON.stringify(said));
"""


class Cell(NamedTuple):
    """What is expected of a reader, a file and a family of key types."""

    reader: str
    version: str
    file: str
    family: str
    read: bool


def _cells() -> Iterator[Cell]:
    for reader, version, form, variant, *words in ROW.findall(PAGE.read_text()):
        for family, word in zip(FAMILIES, words, strict=True):
            yield Cell(reader, version, f"{variant or 'plain'}.{form}", family, {"yes": True, "no": False}[word])


CELLS = list(_cells())
FILES = list(dict.fromkeys(cell.file for cell in CELLS))


@dataclass(frozen=True)
class Delivered:
    """What a requester gets for one key."""

    leaf: bytes
    public_key: bytes
    folder: Path

    def path(self, file: str) -> Path:
        """Where a file of this kind is: `plain.der-x509` and such, `3des.der-pkcs12` for old readers."""
        return self.folder / file


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Delivered]:
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    assert not missing, f"make readers installs: {missing}"

    @cache
    def of(key_type: str) -> Delivered:
        folder = tmp_path_factory.mktemp(key_type)
        key = generate(key_type)
        csr = request_for(key, DistinguishedName.of(CN=NAME), SubjectAltNames(dns=(NAME,)), ())
        ca = shared_ca()
        leaf = ca.certify(csr, (NAME,), common_name=NAME, not_before=NOW, not_after=NOW + DAY)
        for form in DownloadFormat:
            if form is not DownloadFormat.DER_PKCS12:
                with_chain = form is not DownloadFormat.DER_X509
                (folder / f"plain.{form}").write_bytes(render([leaf, ca.intermediate], form, with_chain=with_chain))
        with pytest.MonkeyPatch.context() as patch:
            if key_type != SLOW:
                patch.setattr(encryption, "ROUNDS", 2048)
                patch.setattr(pkcs12, "ROUNDS", 2048)
            for variant, kind in (("plain", Pkcs12Encryption.PBES2_AES_256), ("3des", Pkcs12Encryption.TRIPLE_DES)):
                made = pkcs12.build(key, leaf, [ca.intermediate], PASSWORD, friendly_name=NAME, encryption=kind)
                (folder / f"{variant}.{DownloadFormat.DER_PKCS12}").write_bytes(made)
        return Delivered(leaf, public_key_der(key), folder)

    return of


def run(*command: str | Path, given: bytes | None = None) -> bytes | None:
    """What the command says; None where it fails."""
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)
    return done.stdout if done.returncode == 0 else None


def is_request_for(public_key: bytes, csr: bytes | None) -> bool:
    """Whether somebody's software signed a request with the key of this certificate."""
    try:
        return csr is not None and parse_csr(csr).spki == public_key
    except RefusedError:
        return False


def first_certificate(pem: bytes | None) -> bytes | None:
    found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem or b"", re.DOTALL)
    return found and x509.load_pem_x509_certificate(found[0]).public_bytes(Encoding.DER)


def read_by_openssl(made: Delivered, file: str) -> bool:
    path, form = made.path(file), file.partition(".")[2]
    match form:
        case "pem-x509" | "der-x509":
            key = run("openssl", "x509", "-in", path, "-inform", form[:3], "-noout", "-pubkey")
            bare = None if key is None else run("openssl", "pkey", "-pubin", "-outform", "der", given=key)
            return bare == made.public_key
        case "pem-pkcs7" | "der-pkcs7":
            said = run("openssl", "pkcs7", "-in", path, "-inform", form[:3], "-print_certs")
            return first_certificate(said) == made.leaf
        case _:
            opened = run("openssl", "pkcs12", "-in", path, "-passin", f"pass:{PASSWORD.reveal()}", "-nodes")
            key_file = made.folder / "opened.pem"
            key_file.write_bytes(opened or b"")
            csr = run("openssl", "req", "-new", "-key", key_file, "-subj", f"/CN={NAME}")
            return first_certificate(opened) == made.leaf and is_request_for(made.public_key, csr)


def read_by_keytool(made: Delivered, file: str) -> bool:
    path = made.path(file)
    match file.partition(".")[2]:
        case "pem-x509" | "der-x509":
            said = run("keytool", *QUICK_JAVA, "-printcert", "-file", path) or b""
            keys = re.findall(rb"Subject Public Key Algorithm: (.*)", said)
            return bool(keys) and b"unknown" not in keys[0]
        case "pem-pkcs7" | "der-pkcs7":
            return first_certificate(run("keytool", *QUICK_JAVA, "-printcert", "-rfc", "-file", path)) == made.leaf
        case _:
            store = ("-keystore", path, "-storetype", "PKCS12", "-storepass", PASSWORD.reveal(), "-alias", NAME)
            return is_request_for(made.public_key, run("keytool", *QUICK_JAVA, "-certreq", *store, given=b""))


def read_by_nss(made: Delivered, file: str) -> bool:
    path, form = made.path(file), file.partition(".")[2]
    database = made.folder / f"nss.{file}"
    database.mkdir()
    run("certutil", "-N", "-d", database, "--empty-password")
    if form == "der-pkcs12":
        run("pk12util", "-i", path, "-d", database, "-K", "", "-W", PASSWORD.reveal())
        csr_file = made.folder / f"nss.{file}.csr"
        run("certutil", "-R", "-d", database, "-k", NAME, "-s", f"CN={NAME}", "-o", csr_file)
        return csr_file.exists() and is_request_for(made.public_key, csr_file.read_bytes())
    ascii_too = ("-a",) if form.startswith("pem") else ()
    run("certutil", "-A", "-d", database, "-n", NAME, "-t", ",,", "-i", path, *ascii_too)
    return run("certutil", "-L", "-d", database, "-n", NAME, "-r") == made.leaf


@pytest.fixture(scope="module")
def said_by_node(delivered: Callable[[str], Delivered]) -> dict[str, str | None]:
    paths = [delivered(kind).path(file) for kinds in TYPES.values() for kind in kinds for file in FILES]
    said = run("node", "-e", NODE, "--", PASSWORD.reveal(), *paths)
    assert said is not None
    answers: dict[str, str | None] = json.loads(said)
    return answers


def installed(reader: str) -> tuple[int, ...]:
    """The version of the software on this machine."""
    match reader:
        case "openssl":
            said = run("openssl", "version")
        case "keytool":
            said = subprocess.run(["java", "-version"], capture_output=True, check=True).stderr
        case "nss":
            said = run("dpkg-query", "-W", "-f", "${Version}", "libnss3-tools")
            said = (said or b"").rpartition(b":")[2]
        case _:
            said = run("node", "--version")
    found = re.search(rb"(\d+)(?:\.(\d+))?", said or b"")
    assert found is not None, f"{reader} does not say its version"
    return tuple(int(part) for part in found.groups() if part)


def is_newer(reader: str, version: str) -> bool:
    tried = tuple(int(part) for part in version.split("."))
    return installed(reader)[: len(tried)] > tried


def test_the_table_has_every_reader_every_file_and_every_family_once() -> None:
    expected = {f"plain.{form}" for form in DownloadFormat} | {f"3des.{DownloadFormat.DER_PKCS12}"}
    assert {(cell.reader, cell.file, cell.family) for cell in CELLS} == {
        (reader, file, family)
        for reader in ("openssl", "keytool", "nss", "node")
        for file in expected
        for family in FAMILIES
    }
    assert len(CELLS) == 4 * 6 * 4


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.reader}-{cell.file}-{cell.family}")
def test_a_reader_reads_what_the_table_says(
    cell: Cell, delivered: Callable[[str], Delivered], request: pytest.FixtureRequest
) -> None:
    kinds = TYPES[cell.family]
    # A virtual machine starts for each file: containers are tried with one key of each family there.
    if cell.reader == "keytool" and (cell.file.startswith("3des") or "pkcs7" in cell.file):
        kinds = kinds[:1]
    for kind in kinds:
        made = delivered(kind)
        match cell.reader:
            case "openssl":
                read = read_by_openssl(made, cell.file)
            case "keytool":
                read = read_by_keytool(made, cell.file)
            case "nss":
                read = read_by_nss(made, cell.file)
            case _:
                answer = request.getfixturevalue("said_by_node")[str(made.path(cell.file))]
                read = answer in ("usable", made.public_key.hex())
        assert read is cell.read or (read and is_newer(cell.reader, cell.version)), kind


def test_java_opens_no_file_under_a_password_beyond_ascii(tmp_path: Path) -> None:
    """Why `check_password` refuses such a one. Where this fails, Java has learned it."""
    key = generate("ecdsa-p256")
    csr = request_for(key, DistinguishedName.of(CN=NAME), SubjectAltNames(dns=(NAME,)), ())
    leaf = shared_ca().certify(csr, (NAME,), common_name=NAME, not_before=NOW, not_after=NOW + DAY)
    opened = {}
    for words in ("gravel-Pilot7", "Grünkohl-über-7"):
        made = pkcs12.build(
            key, leaf, [], Password(words), friendly_name=NAME, encryption=Pkcs12Encryption.PBES2_AES_256
        )
        (tmp_path / "identity.p12").write_bytes(made)
        (tmp_path / "password").write_text(words + "\n", encoding="utf-8")
        store = ("-keystore", tmp_path / "identity.p12", "-storepass:file", tmp_path / "password", "-alias", NAME)
        opened[words.isascii()] = run("keytool", *QUICK_JAVA, "-certreq", *store, given=b"") is not None
    assert opened == {True: True, False: False}

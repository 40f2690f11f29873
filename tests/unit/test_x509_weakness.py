import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from shared.errors import RefusedError, UnavailableError
from shared.vocabulary.findings import Severity, refuses
from shared.x509 import weakness
from shared.x509.csr import parse_csr
from shared.x509.keys import KEY_TYPES, check_key
from shared.x509.weakness import HASHES_FILE, LISTING_FILE, Blocklist, check_published, check_weakness

WEAK = Path(__file__).parents[1] / "vectors" / "x509" / "weak"
BLOCKLIST = WEAK / "blocklist"
EXPECTED = json.loads((WEAK / "expected.json").read_text())


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def vector(name: str) -> PublicKeyTypes:
    return load_pem_public_key((WEAK / f"{name}.pem").read_bytes())


def codes(key: PublicKeyTypes, blocklist: Path | None = None) -> list[str]:
    published = [] if blocklist is None else check_published(spki(key), Blocklist.open(blocklist))
    return [found.code for found in (*check_weakness(spki(key)), *published)]


@pytest.fixture
def own_blocklist(tmp_path: Path) -> Path:
    """A copy of the blocklist that a test may spoil."""
    return Path(shutil.copytree(BLOCKLIST, tmp_path / "badkeys"))


@pytest.mark.parametrize("name", EXPECTED["weak"])
def test_a_weak_key_is_found_by_its_weakness_and_a_sound_one_passes(name: str) -> None:
    assert codes(vector(name)) == EXPECTED["weak"][name]


@pytest.mark.parametrize("name", EXPECTED["weak"])
def test_the_blocklist_changes_nothing_for_keys_that_are_not_on_it(name: str) -> None:
    assert codes(vector(name), BLOCKLIST) == EXPECTED["weak"][name]


@pytest.mark.parametrize("name", EXPECTED["published"])
def test_a_key_whose_private_half_is_public_is_found_only_with_the_blocklist(name: str) -> None:
    assert codes(vector(name)) == []
    assert codes(vector(name), BLOCKLIST) == [EXPECTED["published"][name]]


def test_fermat_is_tried_for_a_hundred_rounds() -> None:
    assert codes(vector("fermat-100")) == ["key.fermat-close"]
    assert codes(vector("fermat-101")) == []


def test_every_kind_of_key_can_be_judged() -> None:
    keys: list[PublicKeyTypes] = [
        rsa.generate_private_key(65537, 2048).public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
    ]
    assert [codes(key, BLOCKLIST) for key in keys] == [[]] * len(keys)


def test_a_weak_key_hides_from_the_rules_about_types_and_sizes() -> None:
    csr = parse_csr((WEAK / "fermat-close.csr").read_text())
    assert check_key(csr.key, KEY_TYPES) == []
    assert codes(vector("fermat-close")) == ["key.fermat-close"]


def test_an_odd_distribution_of_bits_is_shown_and_refuses_nothing() -> None:
    found = check_weakness(spki(vector("biased")))
    assert [finding.severity for finding in found] == [Severity.WARNING]
    assert not refuses(found)


def test_a_shared_prime_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    key = vector("square")
    assert isinstance(key, rsa.RSAPublicKey)
    shared_primes = importlib.import_module("badkeys.rsakeys.sharedprimes")
    monkeypatch.setitem(shared_primes._moduli, 2048, key.public_numbers().n)
    assert "key.shared-prime" in codes(key)


def test_the_factors_of_a_weak_key_are_told_to_nobody() -> None:
    for name in EXPECTED["weak"]:
        for found in check_weakness(spki(vector(name))):
            assert len(found.value or "") < 40


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30" * 100, b"not a key"])
def test_what_is_no_key_is_refused(der: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        check_weakness(der)
    assert [found.code for found in refused.value.findings] == ["key.unreadable"]


@pytest.mark.parametrize("failure", [SystemExit(1), ZeroDivisionError("a bug"), MemoryError()])
def test_a_check_that_fails_or_wants_to_end_the_process_refuses_the_key(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(weakness, "checkrsa", fail)
    found = check_weakness(spki(vector("sound")))
    assert {finding.code for finding in found} == {"key.unchecked"}
    assert refuses(found)


def test_an_interrupt_is_not_taken_for_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weakness, "checkrsa", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_weakness(spki(vector("sound")))


def rewritten(folder: Path, **changes: object) -> None:
    listing = json.loads((folder / LISTING_FILE).read_text())
    (folder / LISTING_FILE).write_text(json.dumps(listing | changes))


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda folder: (folder / LISTING_FILE).unlink(),
        lambda folder: (folder / HASHES_FILE).unlink(),
        lambda folder: (folder / HASHES_FILE).write_bytes(b""),
        lambda folder: (folder / HASHES_FILE).write_bytes(bytes(1600)),
        lambda folder: (folder / LISTING_FILE).write_text("{}"),
        lambda folder: (folder / LISTING_FILE).write_bytes(b"\xff"),
        lambda folder: rewritten(folder, bkformat=1),
    ],
)
def test_a_blocklist_that_is_named_and_cannot_be_used_lets_no_key_pass(
    spoil: Callable[[Path], None], own_blocklist: Path
) -> None:
    assert codes(vector("sound"), own_blocklist) == []
    spoil(own_blocklist)
    with pytest.raises(UnavailableError, match="blocklist") as away:
        codes(vector("sound"), own_blocklist)
    assert away.value.dependency == "blocklist"


def test_a_new_blocklist_in_the_same_place_is_noticed(own_blocklist: Path) -> None:
    key = vector("sound")
    assert isinstance(key, rsa.RSAPublicKey)
    assert codes(key, own_blocklist) == []
    modulus = key.public_numbers().n.to_bytes(256)
    old = (own_blocklist / HASHES_FILE).read_bytes()
    records = [old[place : place + 16] for place in range(0, len(old), 16)]
    hashes = b"".join(sorted([*records, hashlib.sha256(modulus).digest()[:15] + b"\x01"]))
    (own_blocklist / HASHES_FILE).write_bytes(hashes)
    rewritten(own_blocklist, blocklist_sha256=hashlib.sha256(hashes).hexdigest())
    assert codes(key, own_blocklist) == ["key.debian-weak"]


def test_a_blocklist_that_is_cut_off_while_it_is_open_lets_no_key_pass(own_blocklist: Path) -> None:
    opened = Blocklist.open(own_blocklist)
    assert opened.list_of(7) is None
    os.truncate(own_blocklist / HASHES_FILE, 160)
    with pytest.raises(UnavailableError, match="changed"):
        opened.list_of(7)
    (own_blocklist / HASHES_FILE).unlink()
    with pytest.raises(UnavailableError):
        opened.list_of(7)


def test_a_file_that_shrinks_between_two_looks_is_damaged(own_blocklist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(UnavailableError, match="shorter"):
        Blocklist.open(own_blocklist).list_of(7)


def test_every_record_of_a_blocklist_is_found_and_nothing_between() -> None:
    hashes = (BLOCKLIST / HASHES_FILE).read_bytes()
    records = [hashes[place : place + 16] for place in range(0, len(hashes), 16)]
    with (BLOCKLIST / HASHES_FILE).open("rb") as file:
        for record in records:
            assert weakness._find(file.fileno(), record[:15]) == record
            beside = record[:14] + bytes([record[14] ^ 1])
            assert weakness._find(file.fileno(), beside) is None
        assert weakness._find(file.fileno(), bytes(15)) is None
        assert weakness._find(file.fileno(), b"\xff" * 15) is None


def test_the_library_reads_the_same_blocklist_in_the_same_way(own_blocklist: Path) -> None:
    program = (
        "import json, sys\n"
        "from badkeys.checks import detectandcheck\n"
        "results = [detectandcheck(open(name).read(), checks=['blocklist'])['results'] for name in sys.argv[1:]]\n"
        "print(json.dumps([found.get('blocklist', {}).get('subtest') for found in results]))\n"
    )
    names = ["sound", *EXPECTED["published"]]
    environment = {"XDG_CACHE_HOME": str(own_blocklist.parent)}
    run = subprocess.run(
        [sys.executable, "-c", program, *(str(WEAK / f"{name}.pem") for name in names)],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert json.loads(run.stdout) == [None, "debianssl", "debianssl", "firmware", "id77"]


def test_without_its_blocklist_the_library_would_end_the_process_and_here_it_cannot(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key\n"
        "from shared.x509.weakness import check_weakness\n"
        "key = load_pem_public_key(Path(sys.argv[1]).read_bytes())\n"
        "der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)\n"
        "print([found.code for found in check_weakness(der)])\n"
        "from badkeys.checks import detectandcheck\n"
        "detectandcheck(Path(sys.argv[1]).read_text())\n"
        "print('not reached')\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(WEAK / "roca.pem")],
        env={"XDG_CACHE_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout) == (1, "['key.roca']\n"), run.stderr

"""What `make fuzz` tries, tried without the fuzzer."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import pytest
from cryptography import x509

from fuzz import seeds
from fuzz.der import mutate_der, pieces, read_der, write_der
from fuzz.mutation import mutate_json
from fuzz.targets import TARGETS, BrokenPromiseError, Target
from services.intake import handlers
from shared import screening
from shared.contracts.content import RequestContent
from shared.policy.policy import Policy
from shared.x509.csr import parse_csr
from tests.vectors.x509 import make

ROOT = Path(__file__).resolve().parents[2]
CHANGES = 60
CHANCES = [Random(number) for number in range(CHANGES)]  # noqa: S311 - the same changes each time


def noise(chance: Random) -> Callable[[bytes], bytes]:
    """What stands in for the fuzzer's own changes."""

    def scramble(data: bytes) -> bytes:
        start = chance.randrange(len(data) + 1)
        return data[:start] + chance.randbytes(3) + data[start + chance.randrange(4) :]

    return scramble


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_stands_its_seeds_and_some_changes_of_them(target: Target) -> None:
    tried = list(target.seeds())
    for seed in tried:
        assert len(seed) <= target.max_bytes
        target.run(seed)
    for chance in CHANCES:
        target.run(target.mutate(chance.choice(tried), chance, noise(chance)))


@pytest.mark.parametrize("name", ["message", "csr", "signed"])
def test_a_fault_of_the_screening_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(handlers, "screen", fail)
    monkeypatch.setattr(screening, "screen", fail)
    target = TARGETS[name]
    with pytest.raises((KeyError, BrokenPromiseError)):
        target.run(next(target.seeds()))


def test_a_name_that_the_policy_does_not_allow_is_noticed_when_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screening.screen

    def let_pass(content: RequestContent, policy: Policy, *, today: date) -> screening.Screened:
        return replace(screen(content, policy, today=today), steps=())

    monkeypatch.setattr(screening, "screen", let_pass)
    TARGETS["csr"].run(make_request(b"www.example.com"))
    with pytest.raises(BrokenPromiseError, match=r"www\.example\.net"):
        TARGETS["csr"].run(make_request(b"www.example.net"))


def test_a_panic_of_the_parser_is_noticed_though_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panic(_: bytes) -> None:
        raise PanicException

    monkeypatch.setattr(x509, "load_der_x509_csr", panic)
    for name in ("csr", "signed", "key"):
        target = TARGETS[name]
        with pytest.raises(BrokenPromiseError, match="panicked"):
            target.run(next(target.seeds()))


def make_request(name: bytes) -> bytes:
    return make.request(attributes=make.asking(make.alternative_names(make.dns(name))))


def test_elements_read_are_written_as_they_were() -> None:
    read = []
    for data in (*seeds.requests(), *seeds.keys(), *pieces()):
        with suppress(ValueError):
            read.append((write_der(read_der(data)), data))
    assert len(read) > len(pieces())
    assert all(written == data for written, data in read)


def test_changes_differ_and_mostly_keep_the_structure() -> None:
    request, document = make_request(b"www.example.com"), next(seeds.messages())
    changed = {mutate_der(request, chance, noise(chance)) for chance in CHANCES}
    edited = {mutate_json(document, chance, noise(chance)) for chance in CHANCES}
    assert sum(_is_der(each) for each in changed) > CHANGES / 2
    assert sum(_is_json(each) for each in edited) > CHANGES / 2


def _is_der(data: bytes) -> bool:
    with suppress(ValueError):
        return bool(read_der(data))
    return False


def _is_json(data: bytes) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(data), dict)
    return False


def test_subject_and_attributes_of_a_request_are_signed_so_that_possession_holds() -> None:
    seed = next(seeds.subjects_and_attributes())
    assert parse_csr(seeds.signed(seed)) == parse_csr(seeds.signed(seed))


def test_the_fuzzer_tries_the_product_with_the_packages_that_it_is_delivered_with() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.MULTILINE))

    assert pinned("requirements.lock") <= pinned("requirements-fuzz.lock")

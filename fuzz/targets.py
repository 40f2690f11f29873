"""What is tried: functions of arbitrary bytes that return, or raise what must never be raised.

They know nothing of the fuzzer: `make test` runs them over their seeds, `python -m fuzz try TARGET FILE` over one file.
"""

import asyncio
import atexit
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

from cryptography import x509

from fuzz import seeds
from fuzz.der import mutate_der
from fuzz.mutation import Mutator, mutate_json
from shared import screening
from shared.errors import RefusedError
from shared.messaging.messages import Delivery
from shared.vocabulary.findings import Finding, refuses
from shared.x509.csr import MAX_CSR_BYTES, MAX_CSR_TEXT, parse_csr
from shared.x509.decoding import PANICKED, pem_text
from shared.x509.weakness import check_weakness
from tests import world
from tests.fakes.duties import Intake, replies

_TODAY = world.NOW.date()
_LABEL = "CERTIFICATE REQUEST"
_DOMAINS = ("example.com", "example.org")
"""Of the example policy's extension profile."""


class BrokenPromiseError(Exception):
    """Nothing was raised, and what came out is wrong."""


@dataclass(frozen=True)
class Target:
    """One thing to try."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    mutate: Mutator
    max_bytes: int


def take_message(data: bytes) -> None:
    """Intake is sent this as a submission by one who must sign and by one who need not."""
    for sender in ("shop", "portal"):
        _runner().run(_take(data, sender))


@cache
def _runner() -> asyncio.Runner:
    """One event loop and its threads for all input: making them takes longer than most input does."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


async def _take(data: bytes, sender: str) -> None:
    duty = Intake()
    published = await duty.handle(Delivery(body=data, sender=sender, queue="q", key=f"{sender}.intake.submit"))
    if duty.publisher.parked:
        raise BrokenPromiseError("the message was parked: its trace is in the log")
    if len(replies(published)) != 1:
        raise BrokenPromiseError(f"{len(replies(published))} answers instead of one")


def read_csr(data: bytes) -> None:
    """A requester sends this as a certificate request: PEM, DER or neither."""
    with _refusable():
        parsed = parse_csr(data)
        if not parsed == parse_csr(parsed.der) == parse_csr(parsed.pem):
            raise BrokenPromiseError("the same request reads differently in another form")
    with suppress(UnicodeDecodeError):
        _screen(pem_text(data, _LABEL) if data.startswith(b"0") else data.decode())


def screen_signed(data: bytes) -> None:
    """A requester signs this in good order: a subject, and behind it the attributes."""
    _screen(pem_text(seeds.signed(data), _LABEL))


def judge_key(data: bytes) -> None:
    """A request has this key: a SubjectPublicKeyInfo."""
    with _refusable():
        check_weakness(data)
    with _refusable():
        parse_csr(seeds.unsigned(data))


def _screen(csr: str) -> None:
    """Screen a request that holds this, up to the certificate that it would become."""
    if not 0 < len(csr) <= MAX_CSR_TEXT:
        return
    policy = world.policy()
    screened = screening.screen(world.content(csr=csr), policy, today=_TODAY)
    _check_calm(screened.findings)
    if refuses(screened.findings):
        return
    proposal = screened.proposal
    if proposal is None:
        raise BrokenPromiseError("nothing speaks against a request that cannot be read")
    with _refusable():
        template = screening.template_of(proposal, policy.intermediates[proposal.resolved.signing_certificate])
        _check_names(x509.load_der_x509_certificate(template))


@contextmanager
def _refusable() -> Iterator[None]:
    """Refusing is a good end, unless the parser panicked: the product lives on, but it is a fault to be told of."""
    try:
        yield
    except RefusedError as refused:
        _check_calm(refused.findings)


def _check_calm(findings: Iterable[Finding]) -> None:
    if any(found.value == PANICKED for found in findings):
        raise BrokenPromiseError("the parser panicked")


def _check_names(certificate: x509.Certificate) -> None:
    """What passed has names under the policy's domains and no others, told without the code that let it pass."""
    (names,) = [each.value for each in certificate.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
    for name in names:
        if not isinstance(name, x509.DNSName) or not f".{name.value}".endswith(tuple(f".{each}" for each in _DOMAINS)):
            raise BrokenPromiseError(f"the screening let {name} pass")


TARGETS: Mapping[str, Target] = {
    "message": Target(take_message, seeds.messages, mutate_json, max_bytes=2 * MAX_CSR_TEXT),
    "csr": Target(read_csr, seeds.requests, mutate_der, max_bytes=MAX_CSR_TEXT + 1),
    "signed": Target(screen_signed, seeds.subjects_and_attributes, mutate_der, max_bytes=MAX_CSR_BYTES + 1),
    "key": Target(judge_key, seeds.keys, mutate_der, max_bytes=MAX_CSR_BYTES // 2),
}

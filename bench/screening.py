"""What screening an ordinary request costs, against what its lint alone costs.

A ratio, and not a time, is held against a limit: both are measured in the same round on the same machine, with the
same process of the linter and the same certificate. Costs are processor time, of this process and of the linter's: what
else the machine does meanwhile shall not count.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bench.figures import Figure
from services.intake.adapters.blocklist import BlocklistFolder
from shared.contracts.content import RequestContent
from shared.lint.kinds import LintKind
from shared.lint.worker import LintWorker
from shared.policy.policy import Policy
from shared.screening import LINT_KINDS, Screened, screen, template_of
from shared.vocabulary.findings import refuses
from tests import world
from tests.vectors.x509 import make

MOST_RATIO = 1.5
ROUNDS = 100
WARM_UP = 10
_PUBLISHED = BlocklistFolder(Path(make.__file__).parent / "weak" / "blocklist")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEYS: Mapping[str, Callable[[], Key]] = {
    "EC P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
}


@dataclass(frozen=True)
class Round:
    """Seconds of processor time that one request took."""

    screening: float
    """All of it: reading, possession, policy, weak keys, the certificate it would become, and the lint."""
    lint: float
    """The lint alone, after the same work."""


async def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Figures for each kind of key."""
    linter = LintWorker()
    try:
        await linter.probe()
        return [figure for kind, new in KEYS.items() for figure in await _of_kind(kind, new(), linter, rounds)]
    finally:
        await linter.aclose()


async def _of_kind(kind: str, key: Key, linter: LintWorker, rounds: int) -> list[Figure]:
    for number in range(WARM_UP):
        await _round(_request(key, number), linter)
    done = [await _round(_request(key, number), linter) for number in range(rounds)]
    whole = statistics.median(each.screening for each in done)
    lint = statistics.median(each.lint for each in done)
    return [
        Figure(f"screening over lint, {kind}", whole / lint, "", at_most=MOST_RATIO),
        Figure(f"screening, {kind}", 1000 * whole, "ms"),
        Figure(f"its lint alone, {kind}", 1000 * lint, "ms"),
    ]


async def _round(content: RequestContent, linter: LintWorker) -> Round:
    """Both in turn, the best of three."""
    tries = [await _try(content, linter) for _ in range(3)]
    return Round(min(each.screening for each in tries), min(each.lint for each in tries))


async def _try(content: RequestContent, linter: LintWorker) -> Round:
    """The same twice, timed as a whole and from the lint on: what comes before it tells on how fast it is."""
    begun = _spent(linter)
    await linter.lint(*await _would_be(content))
    whole = _spent(linter) - begun
    certificate, kind = await _would_be(content)
    begun = _spent(linter)
    await linter.lint(certificate, kind)
    return Round(whole, _spent(linter) - begun)


def _spent(linter: LintWorker) -> float:
    """Seconds of processor time that this process and the linter's have had."""
    try:
        its_own = Path(f"/proc/{linter.process_id}/schedstat").read_text().split()[0]
    except OSError as error:
        raise SystemExit(f"The linter's processor time can't be had: {error}. Linux tells it in /proc.") from None
    return time.process_time() + int(its_own) / 1e9


async def _would_be(content: RequestContent) -> tuple[bytes, LintKind]:
    """As intake's handler comes to it: the certificate that this would become, and by which rules it is judged."""
    policy = world.policy()
    screened = await asyncio.to_thread(_screened, content, policy)
    if screened.proposal is None or refuses(screened.findings):
        raise ValueError(f"an ordinary request is refused: {screened.findings}")
    resolved = screened.proposal.resolved
    template = template_of(screened.proposal, policy.intermediates[resolved.signing_certificate])
    return template, LINT_KINDS[resolved.trust]


def _screened(content: RequestContent, policy: Policy) -> Screened:
    screened = screen(content, policy, today=world.TODAY)
    return replace(screened, added=tuple(_PUBLISHED.check(screened.csr.spki) if screened.csr else ()))


def _request(key: Key, number: int) -> RequestContent:
    """An ordinary request: a host under two names, another host in each round."""
    names = (f"www{number}.example.com", f"host{number}.example.com")
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return world.content(csr=csr.public_bytes(Encoding.PEM).decode())

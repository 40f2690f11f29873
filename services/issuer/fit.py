"""Whether the CA's product and intermediate go together, remembered for a while."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.issuer.ports import CertificateAuthority
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.vocabulary.findings import Finding

log = structlog.get_logger()

GOOD_FOR = timedelta(hours=1)

Combination = tuple[str, str, bytes]


@dataclass
class FitChecks:
    """Asks the CA at most once in a while for each combination of product, intermediate and its id."""

    ca: CertificateAuthority
    clock: Clock
    _known: dict[Combination, tuple[datetime, list[Finding]]] = field(default_factory=dict)

    async def check(self, product: str, ca_cert_id: str, intermediate: bytes) -> list[Finding] | None:
        """Why the three don't go together; empty when they do; `None` while nobody can tell."""
        combination = (product, ca_cert_id, intermediate)
        known = self._known.get(combination)
        now = self.clock.now()
        if known is not None and known[0] + GOOD_FOR > now:
            return known[1]
        try:
            findings = await self.ca.check_fit(product, ca_cert_id, intermediate)
        except UnavailableError as away:
            log.warning("the CA's conditions are not known", product=product, reason=str(away))
            return None
        self._known[combination] = (now, findings)
        return findings

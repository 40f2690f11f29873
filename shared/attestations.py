"""The attestations beside the policy, read when they are needed: a new one counts at once, an expired one no more."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import structlog

from shared.clock import Clock
from shared.config import PolicySettings
from shared.errors import RefusedError
from shared.evidence.compatibility import Attestations, attested_until
from shared.policy.compatibility import Combination
from shared.vocabulary.findings import finding

log = structlog.get_logger()

ATTESTATIONS_SUFFIX = ".attestations"
"""What the name of a policy's attestations file has beyond that of the policy."""


def attestations_file(policy_file: Path) -> Path:
    """Where the attestations for a policy are: beside it."""
    return policy_file.with_name(policy_file.name + ATTESTATIONS_SUFFIX)


def read_attestations(policy_file: Path) -> Attestations:
    """The attestations beside a policy; none when there is no such file.

    Raises:
        RefusedError: `attestation.unreadable`.
    """
    path = attestations_file(policy_file)
    try:
        return Attestations.read(path.read_bytes(), code="attestation.unreadable")
    except FileNotFoundError:
        return Attestations()
    except OSError as error:
        raise RefusedError(finding("attestation.unreadable", f"{path.name}: {error.strerror}")) from None


@dataclass(frozen=True)
class AttestationsBeside:
    """Looks attestations up beside the policy in force."""

    settings: PolicySettings
    clock: Clock

    def until(self, combination: Combination) -> date | None:
        """The last day of an attestation of exactly this by a pinned officer; none if there is none that counts."""
        try:
            found = read_attestations(self.settings.file)
        except RefusedError as refused:
            log.error("attestations cannot be read and do not count", findings=[str(each) for each in refused.findings])  # noqa: TRY400 - the findings say it all
            return None
        return attested_until(found, combination, self.settings.officers, now=self.clock.now())

"""The signed policy: read from disk, and kept in force by one duty.

A duty takes a policy that two pinned officers signed, and no older one than it ever had; otherwise it keeps what is in
force. A changed file is taken up on SIGHUP, whole or not at all.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import Field

from shared.clock import Clock
from shared.config import PolicySettings
from shared.errors import ConflictError, RefusedError
from shared.evidence.dual_control import (
    SIGNATURES_SUFFIX,
    PolicySignatures,
    check_dual_control,
    check_not_older,
)
from shared.evidence.in_force import PolicyInForce
from shared.messaging.aggregate import Aggregate, Store
from shared.observability.metrics import PolicyMetrics
from shared.policy.policy import Policy, read_policy
from shared.vocabulary.findings import finding
from shared.vocabulary.names import DigestField

log = structlog.get_logger()

NEWEST = "newest"


class PolicyMemory(Aggregate):
    """The newest policy that this duty ever had in force: the refusal of older ones survives a restart."""

    id: str = NEWEST
    serial: int = Field(ge=1)
    digest: DigestField


def signatures_file(policy_file: Path) -> Path:
    """Where the signatures of a policy are: beside it."""
    return policy_file.with_name(policy_file.name + SIGNATURES_SUFFIX)


def read_signatures(policy_file: Path) -> PolicySignatures:
    """The signatures beside a policy; none when there is no such file.

    Raises:
        RefusedError: `policy.signatures-unreadable`.
    """
    path = signatures_file(policy_file)
    try:
        return PolicySignatures.read(path.read_bytes(), code="policy.signatures-unreadable")
    except FileNotFoundError:
        return PolicySignatures()
    except OSError as error:
        raise RefusedError(finding("policy.signatures-unreadable", f"{path.name}: {error.strerror}")) from None


def read_signed_policy(settings: PolicySettings, clock: Clock) -> Policy:
    """The policy on disk, if two of the pinned officers signed it.

    Raises:
        RefusedError: with every mistake in it, or `policy.not-countersigned`.
    """
    policy = read_policy(settings.file)
    check_dual_control(policy, read_signatures(settings.file), settings.officers, now=clock.now())
    for warned in policy.warnings:
        log.warning("policy is good, and yet", finding=warned.code, why=warned.message)
    return policy


@dataclass(frozen=True)
class PolicyKeeper:
    """Keeps one duty's policy in force up to date, and never lets an older one in."""

    settings: PolicySettings
    in_force: PolicyInForce
    memory: Store[PolicyMemory]
    metrics: PolicyMetrics
    clock: Clock
    check: Callable[[Policy], None]
    """Refuses a policy under which this duty could not work."""
    changed: Callable[[], None]

    async def admit(self) -> None:
        """Compare the policy read at the start with the newest that this duty ever had.

        Raises:
            RefusedError: `policy.older` or `policy.serial-reused`.
            UnavailableError: the database is away.
        """
        await self._remember(self.in_force.policy)

    async def reload(self) -> None:
        """Take up a changed policy, or keep the one in force and say why.

        Raises:
            UnavailableError: the database is away.
        """
        try:
            policy = await asyncio.to_thread(read_signed_policy, self.settings, self.clock)
            self.check(policy)
            await self._remember(policy)
        except RefusedError as refused:
            self.metrics.refused()
            log.error("policy refused; the one in force stays", findings=[str(found) for found in refused.findings])  # noqa: TRY400 - the findings say it all
            return
        if policy.digest == self.in_force.policy.digest:
            return
        self.in_force.replace(policy)
        self.metrics.in_force(policy.digest, policy.serial)
        log.info("policy in force", serial=policy.serial, digest=policy.digest)
        self.changed()

    async def _remember(self, policy: Policy) -> None:
        newest = PolicyMemory(serial=policy.serial, digest=policy.digest)
        known = await self.memory.load(NEWEST)
        if known is None:
            if await self.memory.insert(newest):
                return
            known = await self.memory.load(NEWEST)
        if known is None:
            return
        check_not_older(policy, serial=known.serial, digest=known.digest)
        if policy.serial > known.serial:
            try:
                await self.memory.replace(newest.model_copy(update={"version": known.version}))
            except ConflictError:  # another copy of this duty was faster
                await self._remember(policy)

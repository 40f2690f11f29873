"""Who must act: the one vocabulary of failure.

`RefusedError` is the sender's to mend, `UnavailableError` passes by itself, and anything else is a bug of
ours: the runtime parks the message and raises the alarm.
"""

from collections.abc import Iterable

from shared.vocabulary.findings import Finding


class RefusedError(Exception):
    """The sender asked for something that will not be done; `findings` say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{finding.code}: {finding.message}" for finding in findings))
        self.findings: tuple[Finding, ...] = findings

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> "RefusedError":
        """The refusal that carries all of these findings."""
        return cls(*findings)


class UnavailableError(Exception):
    """A server this process depends on is away; the same step will work once it is back."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency} is not available: {reason}")
        self.dependency = dependency


class ConflictError(Exception):
    """A compare-and-set lost its race: load again and decide again."""

"""How `ra` ends: the exit status, and what it says when something went wrong."""

from enum import IntEnum

from shared.client import errors
from shared.digicert.diagnosis import diagnose
from shared.digicert.errors import CaRefusedError
from shared.errors import RefusedError, UnavailableError
from shared.vocabulary.findings import Finding
from shared.vocabulary.model import Model


class Exit(IntEnum):
    """The exit status."""

    OK = 0
    USAGE = 2
    """The command line is wrong; nothing was sent."""
    SELF_CONSISTENT = 3
    """`ra audit verify` without an anchor: nothing contradicts itself, and nothing is trusted."""
    REFUSED = 4
    """A duty or a check refused, or found something: the findings say what."""
    UNAVAILABLE = 6
    """The broker, the CA or an answer did not come in time: repeat it."""
    FAILED = 7
    """A duty failed; its operators know."""
    INTERNAL = 70
    """A mistake in `ra` itself."""
    CONFIGURATION = 78
    """The profile, or a file that it names, can't be used."""
    INTERRUPTED = 130
    """Control-C."""


EXIT_STATUS = """\
Exit status: 0 done; 2 wrong command line; 3 audit: self-consistent, not trusted; 4 refused, no such request, or \
something found; 6 no answer in time, broker or CA away, or still waiting; 7 a duty failed; 70 a mistake in ra; \
78 wrong configuration; 130 interrupted.
"""


class Failure(Model):
    """What went wrong, in the shape of a duty's own answer; with `--json` it is printed as it is."""

    code: str
    """One word for programs; the findings carry finer codes."""
    message: str
    findings: tuple[Finding, ...] = ()


class DeskError(Exception):
    """Something that the desk itself refuses, or the way in which a command ends."""

    def __init__(self, status: Exit, failure: Failure) -> None:
        super().__init__(failure.message)
        self.status = status
        self.failure = failure


def usage(message: str) -> DeskError:
    """The command line asks for what can't be done."""
    return DeskError(Exit.USAGE, Failure(code="usage", message=message))


_ENDINGS: tuple[tuple[type[Exception], Exit, str], ...] = (
    (errors.CommandRefusedError, Exit.REFUSED, "refused"),
    (errors.OutOfReachError, Exit.REFUSED, "out-of-reach"),
    (errors.AccessRefusedError, Exit.REFUSED, "access-refused"),
    (errors.NoAnswerError, Exit.UNAVAILABLE, "no-answer"),
    (errors.StillWaitingError, Exit.UNAVAILABLE, "still-waiting"),
    (errors.SlowDownError, Exit.UNAVAILABLE, "slow-down"),
    (errors.NotConnectedError, Exit.UNAVAILABLE, "not-connected"),
    (errors.UnroutableCommandError, Exit.UNAVAILABLE, "unroutable"),
    (errors.CommandFailedError, Exit.FAILED, "failed"),
    (errors.UnreadableAnswerError, Exit.FAILED, "answer-unreadable"),
    (errors.CredentialsError, Exit.CONFIGURATION, "credentials"),
    (UnavailableError, Exit.UNAVAILABLE, "unavailable"),
)


def ending(error: Exception) -> DeskError:
    """How `ra` ends when this was raised."""
    if isinstance(error, DeskError):
        return error
    if isinstance(error, RefusedError):
        return _refused(error)
    if isinstance(error, CaRefusedError):
        said = "The CA does not let the API key look at its orders."
        findings = tuple(diagnosis.finding for diagnosis in diagnose(error))
        return DeskError(Exit.CONFIGURATION, Failure(code="ca-refused", message=said, findings=findings))
    for kind, status, code in _ENDINGS:
        if isinstance(error, kind):
            findings = getattr(error, "findings", ())
            return DeskError(status, Failure(code=code, message=str(error), findings=findings))
    if isinstance(error, OSError):
        return usage(f"{error.filename or 'a file'}: {error.strerror or error}")
    said = f"A mistake in ra ({type(error).__name__}). Please report it, with what RA_DEBUG=1 shows."
    return DeskError(Exit.INTERNAL, Failure(code="internal", message=said))


def _refused(error: RefusedError) -> DeskError:
    codes = {found.code.split(".", 1)[0] for found in error.findings}
    if "config" in codes:
        said = "The configuration can't be used; `ra --help` says where the profile is looked for."
        return DeskError(Exit.CONFIGURATION, Failure(code="configuration", message=said, findings=error.findings))
    if "command" in codes:
        return DeskError(Exit.USAGE, Failure(code="usage", message="This can't be sent.", findings=error.findings))
    return DeskError(Exit.REFUSED, Failure(code="refused", message="This does not hold.", findings=error.findings))

"""The linter's end of the pipe: one certificate in, its findings out.

A question is the kind, a line feed and the DER; an answer is the findings as JSON.
"""

import logging
from collections.abc import Callable, Sequence

from pydantic import TypeAdapter

from shared.lint.kinds import LintKind
from shared.process import far
from shared.vocabulary.findings import Finding

FINDINGS: TypeAdapter[list[Finding]] = TypeAdapter(list[Finding])


def question(der: bytes, kind: LintKind) -> bytes:
    """What asks about a certificate."""
    return kind.encode() + b"\n" + der


def serve(lint: Callable[[bytes, LintKind], Sequence[Finding]], *, seconds: float, memory: int) -> None:
    """Answer with what `lint` finds, within these limits; see `far.serve`."""
    logging.getLogger("pkilint").setLevel(logging.CRITICAL)  # it logs what it also reports as a finding

    def answer(asked: bytes) -> bytes:
        kind, _, der = asked.partition(b"\n")
        return FINDINGS.dump_json(list(lint(der, LintKind(kind.decode()))))

    far.serve(answer, seconds=seconds, memory=memory)

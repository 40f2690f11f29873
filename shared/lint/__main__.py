"""The linter's process: `python -m shared.lint SECONDS BYTES`, started by `worker.LintWorker` and by nobody else."""

import sys

from shared.lint.kinds import LintKind
from shared.lint.linter import lint, rules_of
from shared.lint.serving import serve

if __name__ == "__main__":
    for kind in (LintKind.PUBLIC_TLS, LintKind.PRIVATE):  # the others in their turn: they are rare
        rules_of(kind)
    serve(lint, seconds=float(sys.argv[1]), memory=int(sys.argv[2]))

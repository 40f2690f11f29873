"""A process that makes keys: `python -m services.issuer.making SECONDS`, started by `worker` and by nobody else."""

import sys

from services.issuer.making.workshop import answer
from shared.process import far

_MEMORY_BYTES = 1024 * 1024 * 1024
_NICENESS = 10  # the event loop beside it comes first

if __name__ == "__main__":
    far.serve(answer, seconds=float(sys.argv[1]), memory=_MEMORY_BYTES, niceness=_NICENESS)

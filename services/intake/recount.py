"""`python -m services.intake.recount --config FILE`: has all requests counted anew, while intake goes on.

It is for a database whose tallies can't be believed any more, such as one that was restored from a backup that holds
its collections of different times. Running copies of intake notice the new beginning and do the work; the summary
says meanwhile that it is not complete. It does no harm to do it again.
"""

import argparse
import asyncio
import sys
from collections.abc import Collection
from pathlib import Path

from services.intake.adapters.tallies import MongoTallies
from services.intake.config import IntakeSettings
from services.intake.ports import TallyStore
from shared.clock import SystemClock
from shared.config import read_settings
from shared.errors import ConflictError, RefusedError, UnavailableError
from shared.mongo.database import Database
from shared.signed_policy import read_signed_policy
from shared.vocabulary.names import ApprovalGroupName


async def begin_anew(tallies: TallyStore, groups: Collection[ApprovalGroupName]) -> None:
    """Let go of the numbers of these groups.

    Raises:
        UnavailableError: the database is away; do it again.
    """
    for group in groups:
        while (tally := await tallies.load(group)) is not None:
            try:
                await tallies.replace(tally.begun_anew())
            except ConflictError:
                continue
            break


def main() -> int:
    """Begin anew; 1 when the database is away, 78 for what an operator must mend."""
    parser = argparse.ArgumentParser(prog="python -m services.intake.recount", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="intake's settings (TOML)")
    try:
        settings = read_settings(parser.parse_args().config, IntakeSettings)
        asyncio.run(_run(settings))
    except (RefusedError, UnavailableError) as error:
        sys.stderr.write(f"intake: {error}\n")
        return 78 if isinstance(error, RefusedError) else 1
    sys.stdout.write("All requests are counted anew by the running intake.\n")
    return 0


async def _run(settings: IntakeSettings) -> None:
    groups = read_signed_policy(settings.policy, SystemClock()).file.approval_groups
    database = Database(settings.database, name="countersign-recount", count=lambda _: None)
    try:
        await begin_anew(MongoTallies(database), groups)
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(main())

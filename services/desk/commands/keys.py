"""`ra keys`: the key pair with which one signs."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.exits import usage
from services.desk.files import write_new
from services.desk.frame import Desk, command
from services.desk.keys import describe, new_key_pem
from services.desk.passphrase import ask_passphrase, choose_passphrase
from shared.client.profile import read_key
from shared.evidence.jws import SigningKey

OWNER_ONLY = 0o600

app = typer.Typer(help="Make and show the key with which you sign.", no_args_is_help=True)

KeyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The key, PKCS#8 PEM.")]


@command(app, "new")
def new(
    desk: Desk,
    *,
    file: KeyArgument,
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where its passphrase is; `-` is standard input.")
    ] = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="For the key of a program: whoever can read it signs with it.")
    ] = False,
) -> None:
    """Make an Ed25519 key that only you can read, and print the line that the policy needs. Offline.

    Its passphrase is asked for twice, or comes from --passphrase-file or the file in RA_KEY_PASSPHRASE_FILE.
    """
    if no_passphrase and passphrase_file is not None:
        raise usage("--no-passphrase and --passphrase-file contradict one another")
    chosen = None if no_passphrase else choose_passphrase(file, passphrase_file)
    write_new(file, new_key_pem(chosen), mode=OWNER_ONLY)
    key = read_key(file, lambda _: chosen or "")
    desk.screen.say(f"{file} is written; keep it to yourself. This goes into the policy, under your identity:")
    _show(desk, key)
    if chosen is None:
        desk.screen.say(
            "Warning: it has no passphrase, so whoever can read it signs as you. Don't decide on requests with it."
        )


@command(app, "show")
def show(desk: Desk, *, file: KeyArgument) -> None:
    """Print the public half of a key, as the policy needs it. Offline."""
    _show(desk, read_key(file, ask_passphrase))


def _show(desk: Desk, key: SigningKey) -> None:
    description = describe(key.public)
    desk.screen.result(description)
    desk.screen.say(description.policy)
    desk.screen.say(f"kid: {description.kid}")

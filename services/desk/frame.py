"""The frame around every command: common options, the profile, the connection, and how it ends."""

import asyncio
import functools
import inspect
import os
import re
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from services.desk.exits import Exit, ending
from services.desk.passphrase import ask_passphrase
from services.desk.render import Screen
from shared.client.client import ANSWER_SECONDS, RaClient
from shared.client.connection import connect
from shared.client.ports import Signer
from shared.client.profile import Profile, default_profile_file, read_anchor, read_profile, read_signer
from shared.errors import RefusedError
from shared.evidence.anchor import Anchor
from shared.vocabulary.findings import finding
from shared.vocabulary.names import RequestId, RequestIdField, SerialNumber

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

DEBUG_VARIABLE = "RA_DEBUG"

ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="Who you are: TOML. Else RA_PROFILE, else ~/.config/ra/profile.toml.",
        rich_help_panel="Common options",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Results and errors as JSON on standard output, one document a line.",
        rich_help_panel="Common options",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        max=3600,
        help=f"How long to wait for an answer, {ANSWER_SECONDS:g} seconds if not given.",
        rich_help_panel="Common options",
    ),
]


@dataclass(frozen=True)
class Common:
    """The options that stand before or after any command."""

    profile: Path | None = None
    machine: bool = False
    timeout: float | None = None

    def over(self, other: "Common") -> "Common":
        """These options where they are given, and the other ones where not."""
        return Common(self.profile or other.profile, self.machine or other.machine, self.timeout or other.timeout)


class Desk:
    """What a command works with."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self.screen = Screen(common.machine)
        self.aside = Screen(common.machine, aside=True)
        """For what people must see even when a program reads the result: what is about to be signed."""

    @property
    def machine(self) -> bool:
        """Whether a program reads the output."""
        return self._common.machine

    @cached_property
    def profile(self) -> Profile:
        """Who acts. Raises `RefusedError` with `config.*`."""
        return read_profile(self._common.profile or default_profile_file())

    @cached_property
    def anchor(self) -> Anchor | None:
        """Whom the profile trusts, if it says so. Raises `RefusedError` with `config.*`."""
        return None if self.profile.trust is None else read_anchor(self.profile.trust.anchor_file)

    @cached_property
    def signer(self) -> Signer | None:
        """The profile's key, if it has one; its passphrase is asked for once. Raises `RefusedError` with `config.*`."""
        return read_signer(self.profile, ask_passphrase)

    def require_signer(self) -> None:
        """See that there is a key before anybody is asked anything. Raises `RefusedError` with `config.*`."""
        if self.signer is None:
            text = "a decision has to be signed, and the profile names no key: see [signing]"
            raise RefusedError(finding("config.key-missing", text))

    def ask(self, act: Callable[[RaClient], Awaitable[ResultT]], *, signing: bool = False) -> ResultT:
        """Do this with a client of the profile's identity; `signing` says that it needs the key."""
        client = self.client(self.signer if signing else None)

        async def run() -> ResultT:
            async with client:
                return await act(client)

        return asyncio.run(run())

    def client(self, signer: Signer | None) -> RaClient:
        """A client of the profile's identity that signs with this. Raises `RefusedError` with `config.*`."""
        return RaClient(
            self.profile,
            signer=signer,
            anchor=self.anchor,
            timeout_seconds=self._common.timeout or ANSWER_SECONDS,
            connect=connect,
        )

    @contextmanager
    def ends_well(self) -> Iterator[None]:
        """Turns whatever goes wrong into a message and an exit status."""
        try:
            yield
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - the last line of defence: nobody is shown a traceback
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exc()
            end = ending(error)
            self.screen.failure(end.failure)
            raise typer.Exit(end.status) from None


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Desk, P], None]], Callable[Concatenate[Desk, P], None]]:
    """Make a function a command of this name: it gets the desk, and the common options are added to its own."""

    def register(act: Callable[Concatenate[Desk, P], None]) -> Callable[Concatenate[Desk, P], None]:
        @functools.wraps(act)
        def run(
            *,
            ctx: typer.Context,
            profile: Path | None,
            machine: bool,
            timeout: float | None,
            **given: Any,  # noqa: ANN401 - whatever the command's own options are
        ) -> None:
            before = ctx.obj if isinstance(ctx.obj, Common) else Common()
            desk = Desk(Common(profile, machine, timeout).over(before))
            with desk.ends_well():
                act(desk, **given)  # type: ignore[call-arg]  # Typer read these arguments by this very signature

        _, *own = inspect.signature(act).parameters.values()
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may carry one (PEP 362)
            [
                _keyword("ctx", typer.Context),
                *(each.replace(kind=each.KEYWORD_ONLY) for each in own),
                *COMMON_PARAMETERS,
            ]
        )
        app.command(name)(run)
        return act

    return register


def _keyword(name: str, annotation: object, default: object = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


COMMON_PARAMETERS = (
    _keyword("profile", ProfileOption, None),
    _keyword("machine", JsonOption, default=False),
    _keyword("timeout", TimeoutOption, None),
)

_REQUEST_ID: TypeAdapter[RequestId] = TypeAdapter(RequestIdField)


def request_id(text: str) -> str:
    """A request's id as somebody typed it. Raises `BadParameter`."""
    try:
        return _REQUEST_ID.validate_python(text.strip().lower())
    except ValidationError:
        raise typer.BadParameter("a request's id is a UUID of version 7, as `ra submit` prints it") from None


_SERIAL: TypeAdapter[str] = TypeAdapter(SerialNumber)


def certificate_name(text: str) -> str:
    """A request's id or a serial number as somebody typed it. Raises `BadParameter`."""
    typed = text.strip().lower()
    if "-" in typed:
        return request_id(typed)
    try:
        return _SERIAL.validate_python(typed.replace(":", "").lstrip("0") or "0")
    except ValidationError:
        raise typer.BadParameter("neither a request's id nor a serial number in hexadecimal digits") from None


_AGE = re.compile(r"(\d{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def age(text: str) -> timedelta:
    """How long something has waited, as somebody typed it. Raises `BadParameter`."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter("an age is a number of minutes, hours or days, such as 30m, 12h or 3d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", parser=request_id, help="The request's id.")]
RequestArguments = Annotated[
    list[str],
    typer.Argument(metavar="REQUEST", parser=request_id, help="The requests' ids; each is judged on its own."),
]
WaitLimitOption = Annotated[
    float,
    typer.Option("--limit", metavar="SECONDS", min=0.1, help="How long to wait for the state."),
]

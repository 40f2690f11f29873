"""What a requester enters on the command line beside a CSR, as the values of a request."""

from collections.abc import Sequence

from pydantic import ValidationError

from services.desk.exits import DeskError, usage
from shared.vocabulary.model import mistakes
from shared.x509.entered import EnteredValues
from shared.x509.profiles import NameKind

CRITICAL = "critical,"


def entered(*, subject: Sequence[str] = (), names: Sequence[str] = (), extensions: Sequence[str] = ()) -> EnteredValues:
    """The values of `TYPE=VALUE`, `KIND:NAME` and `TYPE=[critical,]VALUE,…` options.

    Raises:
        DeskError: one of them has another form, or holds what no certificate can.
    """
    values = {
        "subject": [dict(zip(("type", "value"), _split(text, "=", "--dn"), strict=True)) for text in subject],
        "names": _names(names),
        "extensions": [_extension(text) for text in extensions],
    }
    try:
        return EnteredValues.model_validate(values)
    except ValidationError as error:
        raise _unfit(error) from None


def _names(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        kind, name = _split(text, ":", "--san")
        if kind not in list(NameKind):
            raise usage(f"--san {text}: a name begins with one of {', '.join(f'{each}:' for each in NameKind)}")
        found.setdefault(kind, []).append(name)
    return found


def _extension(text: str) -> dict[str, object]:
    kind, values = _split(text, "=", "--extension")
    critical = values.startswith(CRITICAL)
    return {"type": kind, "critical": critical, "values": values.removeprefix(CRITICAL).split(",")}


def _split(text: str, sign: str, option: str) -> tuple[str, str]:
    before, found, after = text.partition(sign)
    if not (found and before and after):
        raise usage(f"{option} {text}: this has the form {'KIND:NAME' if sign == ':' else 'TYPE=VALUE'}")
    return before.strip(), after.strip()


def _unfit(error: ValidationError) -> DeskError:
    told = "; ".join(found.message for found in mistakes(error, code="command.invalid"))
    return usage(f"what was entered does not fit: {told}")

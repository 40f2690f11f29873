"""What a requester enters on the command line beside a CSR, as the values of a request."""

from collections.abc import Sequence
from contextlib import suppress

from pydantic import ValidationError

from services.desk.exits import DeskError, usage
from shared.vocabulary.model import mistakes
from shared.x509.entered import EditedValues, EnteredValues
from shared.x509.names import SubjectAltNames
from shared.x509.profiles import NameKind

CRITICAL = "critical,"


def entered(
    *,
    subject: Sequence[str] = (),
    names: Sequence[str] = (),
    extensions: Sequence[str] = (),
) -> EnteredValues:
    """The values of `TYPE=VALUE`, `KIND:NAME` and `TYPE=[critical,]VALUE,…` options.

    Raises:
        DeskError: one of them has another form, or holds what no certificate can.
    """
    values = {
        "subject": [dict(zip(("type", "value"), _split(text, "=", "--dn"), strict=True)) for text in subject],
        "names": _names(names, "--san"),
        "extensions": [_extension(text) for text in extensions],
    }
    try:
        return EnteredValues.model_validate(values)
    except ValidationError as error:
        raise _unfit(error) from None


def names_entered(texts: Sequence[str], option: str) -> SubjectAltNames:
    """The names of `KIND:NAME` texts of this option.

    Raises:
        DeskError: one of them has another form, or is no name.
    """
    try:
        return SubjectAltNames.model_validate(_names(texts, option))
    except ValidationError as error:
        raise _unfit(error) from None


def kinds_of(*, attributes: Sequence[str], extensions: Sequence[str]) -> EditedValues:
    """The types of attributes and extensions that are to be left out.

    Raises:
        DeskError: there is no such type.
    """
    try:
        return EditedValues.model_validate({"without_attributes": attributes, "without_extensions": extensions})
    except ValidationError as error:
        raise _unfit(error) from None


def either_kind(texts: Sequence[str]) -> frozenset[str]:
    """The attributes and extensions that are called by these types.

    Raises:
        DeskError: nothing is called so.
    """
    found: set[str] = set()
    for text in texts:
        before = len(found)
        for field in ("without_attributes", "without_extensions"):
            with suppress(ValidationError):
                values = EditedValues.model_validate({field: (text,)})
                found |= {*values.without_attributes, *values.without_extensions}
        if len(found) == before:
            raise usage(f"--as-asked {text}: no attribute and no extension is called so, or it stands there twice")
    return frozenset(found)


def _names(texts: Sequence[str], option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        kind, name = _split(text, ":", option)
        if kind not in list(NameKind):
            raise usage(f"{option} {text}: a name begins with one of {', '.join(f'{each}:' for each in NameKind)}")
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

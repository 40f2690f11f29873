"""Writing TOML: tables, arrays, strings, numbers and booleans, which is all that our files hold."""

import json
import re
from collections.abc import Mapping, Sequence

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DELETE = "\x7f"


def dumps(document: Mapping[str, object]) -> str:
    """The document as TOML text; what `tomllib` reads back equals it.

    Raises:
        TypeError: a value is of another kind.
    """
    return "\n".join(_table(document, ())).lstrip("\n") + "\n"


def _table(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    own = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if key not in inner]
    header = ["", f"[{'.'.join(map(_key, path))}]"] if path and (own or not inner) else []
    lines = [*header, *own]
    for key, value in inner.items():
        lines += _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"{type(value).__name__} is not written here")


def _string(text: str) -> str:
    # A JSON string is a basic string of TOML, but for the delete character.
    return json.dumps(text, ensure_ascii=False).replace(_DELETE, "\\u007f")

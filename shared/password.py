"""A password while it is in memory: it shows itself to nobody who does not ask for it by name."""

from typing import NoReturn


class Password:
    """The text of a password, which `reveal` alone gives away: it can't be printed, formatted, pickled or copied."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The password."""
        return self._text

    def __repr__(self) -> str:
        return "Password(…)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a password is not written anywhere")

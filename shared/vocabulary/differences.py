"""Differences between two versions of something, as people are told of them."""

from typing import Annotated

from pydantic import StringConstraints

from shared.vocabulary.model import Model

MAX_TEXT_LENGTH = 1000
"""Of what something was and of what it is now, in characters: what one event tells of an edit must fit into it."""
MOST_DIFFERENCES = 40


class Difference(Model):
    """What has changed, in a few words, with the text before and after; an empty one says that there was nothing."""

    what: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    before: Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
    after: Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]


def difference(what: str, before: str, after: str) -> Difference:
    """A difference whose texts are bounded and, but for their line breaks, printable."""
    return Difference(what=what, before=_shown(before), after=_shown(after))


def _shown(text: str) -> str:
    kept = (each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)
    shown = "".join(kept)
    return shown if len(shown) <= MAX_TEXT_LENGTH else shown[: MAX_TEXT_LENGTH - 1] + "…"

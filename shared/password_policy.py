"""Whether a password is good enough for the file that holds a private key: judged by the client, and by the issuer."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zxcvbn_rs_py import zxcvbn

from shared.vocabulary.findings import Finding, finding

MAX_LENGTH = 128
"""In characters."""

# Judging takes time that grows with the square of the length: this much of a password is judged, which takes less
# than a tenth of a second whatever it is. One that is strong so far stays strong, whatever follows.
_JUDGED = 32
_MOST_WORDS = 100
_SHORTEST_WORD = 3
# PKCS#12 could take more (RFC 7292, appendix B.1), but Java refuses any password that is not ASCII, and others differ
# in how they encode it: whoever finds out later has lost the key.
_FIT = re.compile(r"[ -~]*")


@dataclass(frozen=True)
class PasswordRules:
    """What a password must be."""

    min_length: int = 12
    """In characters."""
    min_score: int = 3
    """Of zxcvbn: 3 withstands guessing at a fast rate against a slow key derivation, 4 is its best."""


def check_password(password: str, rules: PasswordRules, *, words: Iterable[str] = ()) -> list[Finding]:
    """Why this password is not good enough; no finding holds any part of it.

    `words` are those that come to mind first: names in the request, and who asks for it.
    """
    return [*_check(password, rules, words)]


def _check(password: str, rules: PasswordRules, words: Iterable[str]) -> Iterator[Finding]:
    if not _FIT.fullmatch(password):
        message = "a password has letters without accents, digits, signs and spaces: not all programs can open others"
        yield finding("password.characters", message)
        return
    if len(password) > MAX_LENGTH:
        yield finding("password.too-long", f"a password has at most {MAX_LENGTH} characters")
        return
    if len(password) < rules.min_length:
        yield finding("password.too-short", f"a password has at least {rules.min_length} characters")
    if int(zxcvbn(password[:_JUDGED], [*_split(words)][:_MOST_WORDS]).score) < rules.min_score:
        message = "the password is easy to guess: take several words that do not belong together, or let a password"
        yield finding("password.too-weak", f"{message} manager make one")


def _split(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from (part for part in (word, *re.split(r"\W+", word)) if len(part) >= _SHORTEST_WORD)

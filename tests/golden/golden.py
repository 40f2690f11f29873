"""The golden cases: what is asked, by whom, when and under which policy, and what must be found.

Each file in `cases/` is a table of one theme. `[accepted.NAME]` and `[refused.NAME]` say how a case ends; `findings`
holds all that is found, no more and no less, as `[warning |note ]CODE[: VALUE]`, where any value will do if none is
given. Everything else in a case is a field of the request (`shared/contracts/content.py`), except for

    csr      a recipe (see `recipes`), `vector:NAME` for a request of tests/vectors/x509, or `package` for the one
             in the package cryptography_vectors at the path that is the case's name
    text     what is submitted as CSR, if it is not that, in pieces; the piece `{csr}` stands for it
    policy   a file in `policies/`, which follows after `people.toml`
    by       the identity that submits
    today    the day on which it does

What stands above the cases of a file holds for each of them that does not say otherwise, and `always` holds what is
found in each that is accepted. A recipe above is what a case's own recipe adds to or changes.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors

from shared.identifiers import new_request_id
from shared.policy.policy import Policy
from shared.vocabulary.findings import Finding, Severity
from shared.vocabulary.names import IdentityName
from tests import world
from tests.golden import recipes
from tests.golden.recipes import Recipe

FOLDER = Path(__file__).parent
CASES, CSRS, POLICIES = (FOLDER / name for name in ("cases", "csrs", "policies"))
VECTORS = FOLDER.parent / "vectors" / "x509"
PACKAGE = Path(cryptography_vectors.__file__).parent
OUTCOMES = ("accepted", "refused")
OWN = frozenset({"about", "always", "findings", "csr", "text", "policy", "by", "today", *OUTCOMES})
"""What is no field of the request."""


@dataclass(frozen=True)
class Case:
    """One request, and what must be found."""

    theme: str
    name: str
    outcome: str
    given: Mapping[str, Any]
    csr_file: Path | None
    """Where the CSR is kept, if it has a recipe."""

    @property
    def id(self) -> str:
        """The theme and the name."""
        return f"{self.theme}/{self.name}"

    @property
    def by(self) -> IdentityName:
        """Who submits."""
        return IdentityName(self.given["by"])

    @property
    def now(self) -> datetime:
        """Noon of the day."""
        return datetime.combine(self.given["today"], time(12), UTC)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return policy_of(self.given["policy"])

    @property
    def csr(self) -> str:
        """What is submitted as CSR."""
        pieces = self.given.get("text", ["{csr}"])
        return "".join(self._csr() if piece == "{csr}" else piece for piece in pieces)

    def _csr(self) -> str:
        if self.csr_file is not None:
            return self.csr_file.read_text()
        if self.given["csr"] == "package":
            return package_csr(PACKAGE / self.name)
        return (VECTORS / f"{self.given['csr'].removeprefix('vector:')}.csr").read_text()

    @property
    def content(self) -> bytes:
        """The submission's content, JSON."""
        fields = {name: _spelled_out(value) for name, value in self.given.items() if name not in OWN}
        whole = {"request_id": new_request_id(), "name": self.name, "csr": self.csr, **fields}
        return json.dumps(whole, default=date.isoformat).encode()

    def differences(self, found: tuple[Finding, ...]) -> list[str]:
        """What was expected and not found, and what was found and not expected."""
        always = self.given.get("always", []) if self.outcome == "accepted" else []
        left = [(_said(each), _said(each, with_value=False)) for each in found]
        differences = []
        for expected in sorted([*always, *self.given.get("findings", [])], key=lambda text: ": " not in text):
            match = next((texts for texts in left if expected in texts), None)
            if match is None:
                differences.append(f"missing: {expected}")
            else:
                left.remove(match)
        return [*differences, *(f"not expected: {text}" for text, _ in left)]


def _spelled_out(value: Any) -> Any:
    """With what stands for many texts in lists, such as `h[100].example.com`, in its place."""
    if isinstance(value, dict):
        return {name: _spelled_out(each) for name, each in value.items()}
    if isinstance(value, list):
        texts = [recipes.repeated(each) if isinstance(each, str) else [_spelled_out(each)] for each in value]
        return [each for some in texts for each in some]
    return value


def _said(found: Finding, *, with_value: bool = True) -> str:
    severity = "" if found.severity is Severity.ERROR else f"{found.severity} "
    value = f": {found.value}" if with_value and found.value is not None else ""
    return f"{severity}{found.code}{value}"


@cache
def cases() -> tuple[Case, ...]:
    """All of them."""
    return tuple(case for path in sorted(CASES.glob("*.toml")) for case in _cases(path))


def _cases(path: Path) -> Iterator[Case]:
    table = tomllib.loads(path.read_text())
    above = {name: value for name, value in table.items() if name not in OUTCOMES}
    for outcome in OUTCOMES:
        for name, own in table.get(outcome, {}).items():
            given = above | own
            csr_file = None
            if isinstance(given.get("csr"), dict):
                csr_file = CSRS / path.stem / f"{name}.csr" if "csr" in own else CSRS / f"{path.stem}.csr"
                given["csr"] = above.get("csr", {}) | own.get("csr", {})
            yield Case(path.stem, name, outcome, given, csr_file)


def csr_recipes() -> dict[Path, Recipe]:
    """The recipes of all requests that are kept, by their files."""
    return {case.csr_file: case.given["csr"] for case in cases() if case.csr_file is not None}


@cache
def policy_of(name: str) -> Policy:
    """The policy of this name."""
    people = (POLICIES / "people.toml").read_text()
    return world.policy(world.with_own_keys(people + (POLICIES / f"{name}.toml").read_text()))


def package_csr(path: Path) -> str:
    """A request of the package, as PEM."""
    data = path.read_bytes()
    return recipes.pem(data) if data.startswith(b"\x30") else data.decode()

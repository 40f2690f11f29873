"""What one revision says otherwise than the one before it, for people: pure, no I/O."""

from collections.abc import Iterable, Iterator

from shared.evidence.steps import Revision
from shared.policy.resolution import ResolvedPolicy
from shared.vocabulary.differences import Difference, difference

Change = tuple[str, str, str]
"""What has changed, and the whole text before and after."""

_BY_VALUE = frozenset({"extension_profile", "extensions", "dn"})
"""What is told of the resolved policy in another way than by its fields' own texts."""


def changes(former: Revision, following: Revision) -> tuple[Change, ...]:
    """Each field that differs; an empty text says that there was, or is, nothing."""
    return tuple(
        (what, before, after)
        for (what, before), (_, after) in zip(_texts(former), _texts(following), strict=True)
        if before != after
    ) + tuple(_rules(former.policy, following.policy))


def differences(former: Revision, following: Revision) -> tuple[Difference, ...]:
    """The same, with texts that fit into a message."""
    return tuple(difference(*change) for change in changes(former, following))


def _texts(revision: Revision) -> Iterator[tuple[str, str]]:
    resolved = revision.policy
    yield "name", revision.name
    yield "last day", str(revision.expires_on or "the latest allowed")
    yield "notes", revision.notes
    yield "e-mail addresses", _listed(revision.emails)
    yield "extension profile", resolved.extension_profile
    yield "subject", str(revision.subject)
    yield "alternative names", _listed(f"{kind} {name}" for kind, names in revision.names for name in names)
    yield "extensions", _listed(revision.extensions)
    yield "findings", "\n".join(f"{found.code}: {found.message}" for found in revision.findings)
    for field in ResolvedPolicy.model_fields:
        if field not in _BY_VALUE:
            yield field.replace("_", " "), str(getattr(resolved, field))


def _rules(former: ResolvedPolicy, following: ResolvedPolicy) -> Iterator[Change]:
    """Profiles that are called as before and say something else by now."""
    if former.extension_profile == following.extension_profile and former.extensions != following.extensions:
        yield f"rules of extension profile {following.extension_profile}", "", "changed by the policy"
    if former.dn != following.dn:
        yield f"rules of DN profile {following.dn_profile}", "", "changed by the policy"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)

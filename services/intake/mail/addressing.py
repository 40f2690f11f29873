"""Who gets a mail: pure, no I/O."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.evidence.steps import Revision
from shared.policy.policy import Policy
from shared.vocabulary.names import ApprovalGroupName, IdentityName

EVERYWHERE = "*"
_LOCAL_PART = re.compile(r"[A-Za-z0-9#$&'*+/=^_`{|}~-]+(\.[A-Za-z0-9#$&'*+/=^_`{|}~-]+)*")
"""A dot-atom (RFC 5322 §3.2.3), without `!` and `%`, by which servers of old are made to pass a mail on elsewhere, and
without `?`, which makes encoded words."""
_COMMANDS = ("-", "|")
"""What a mail server may take for an option, or for a command to run, where it hands an address on."""
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Address:
    """Where a mail goes, and whether a request named it rather than the policy."""

    text: str
    is_named: bool


def is_deliverable(address: str) -> bool:
    """Whether this is a plain address: ASCII, of a domain with at least two labels (U-labels as their A-labels)."""
    local, _, domain = address.rpartition("@")
    labels = domain.split(".")
    return (
        not local.startswith(_COMMANDS)
        and _LOCAL_PART.fullmatch(local) is not None
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
    )


def approvers(group: ApprovalGroupName, requesters: Sequence[IdentityName], policy: Policy) -> list[IdentityName]:
    """The identities whose decision on such a request may count, sorted."""
    known = policy.group(group)
    if known is None:
        return []
    deciders = sorted(policy.deciders(group))
    if known.requester_counts:
        return deciders
    owners = {policy.person_of(name) for name in requesters} - {None}
    return [name for name in deciders if name not in requesters and policy.person_of(name) not in owners]


def without_editors(deciders: Sequence[IdentityName], revision: Revision, policy: Policy) -> list[IdentityName]:
    """Those of them who have not edited this revision, unless its group lets editors approve."""
    known = policy.group(revision.policy.approval_group)
    if known is not None and known.editor_may_approve and revision.policy.editor_may_approve:
        return list(deciders)
    owners = ({policy.person_of(name) for name in revision.editors} | {*revision.editor_people}) - {None}
    return [name for name in deciders if name not in revision.editors and policy.person_of(name) not in owners]


def addresses_of(identities: Iterable[IdentityName], policy: Policy) -> Iterator[Address]:
    """Where these identities are told by mail, as the policy says."""
    for name in identities:
        identity = policy.identity(name)
        for text in identity.emails if identity else ():
            yield Address(text, is_named=False)


def named_addresses(emails: Iterable[str], domains: Sequence[str]) -> Iterator[Address]:
    """The addresses that a request names, as far as they are in these domains."""
    for text in emails:
        if EVERYWHERE in domains or text.rpartition("@")[2].lower() in domains:
            yield Address(text, is_named=True)


def each_once(addresses: Iterable[Address]) -> list[Address]:
    """These addresses, each once and as far as a mail can go there; the policy's word comes before a request's."""
    found: dict[str, Address] = {}
    for address in addresses:
        local, _, domain = address.text.rpartition("@")
        if is_deliverable(address.text):
            found.setdefault(f"{local}@{domain.lower()}", address)
    return list(found.values())

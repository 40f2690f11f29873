"""Public suffixes: names under which strangers register, so that nobody owns all that stands below them."""

from functools import cache

from publicsuffixlist import PublicSuffixList

from shared.vocabulary.findings import Finding, finding
from shared.x509.dns import check_dns_name


def check_public_suffix(name: str) -> list[Finding]:
    """Why this DNS name may not stand in a public certificate, as far as the Public Suffix List says.

    A public suffix itself belongs to a registry (`name.public-suffix`), and a wildcard directly below one would
    cover every registrant there (`name.wildcard-public-suffix`; BR 3.2.2.6).

    Only the list's ICANN section counts, as BR 3.2.2.6 recommends. It holds what registries delegate (`com`,
    `co.uk`, `*.ck` but not `www.ck`). The other section, PRIVATE, holds domains that their owner lends to others
    (`github.io`): they are the owner's own, who may well have a wildcard for them. A top-level domain that the list
    does not know counts as a public suffix, by the list's own default rule.

    The name is expected as `normalise_dns` gives it; what is no DNS name gives no finding here, as
    `check_dns_name` says what is wrong with it. The list is the one bundled with the installed `publicsuffixlist`,
    read once, without any network. Labels that merely look like others are not looked for.
    """
    lowered = name.lower()
    below = lowered.removeprefix("*.")
    if check_dns_name(below, public=False) or not _public_suffixes().is_public(below):
        return []
    if below == lowered:
        message = "a public suffix belongs to a registry and to none of its customers"
        return [finding("name.public-suffix", message, value=name)]
    message = "a wildcard directly below a public suffix would cover what others own"
    return [finding("name.wildcard-public-suffix", message, value=name)]


@cache
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)

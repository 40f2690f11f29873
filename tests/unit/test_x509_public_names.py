from pathlib import Path

import publicsuffixlist
import pytest

from shared.x509.dns import normalise_dns
from shared.x509.public_names import check_public_suffix

LIST = Path(publicsuffixlist.__file__).parent / "public_suffix_list.dat"


def codes(name: str) -> list[str]:
    return [found.code for found in check_public_suffix(name)]


def icann_rules() -> list[str]:
    text = LIST.read_text("utf-8")
    section = text.partition("// ===BEGIN ICANN DOMAINS===")[2].partition("// ===END ICANN DOMAINS===")[0]
    return [line.split()[0] for line in section.splitlines() if line.strip() and not line.startswith("//")]


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "www.example.com",
        "*.example.com",
        "*.www.example.co.uk",
        "example.co.uk",
        "city.kobe.jp",
        "*.city.kobe.jp",
        "www.ck",
        "xn--bcher-kva.example",
        "example.unheard-of",
    ],
)
def test_what_stands_below_a_public_suffix_may_be_certified(name: str) -> None:
    assert codes(name) == []


@pytest.mark.parametrize("name", ["github.io", "*.github.io", "*.s3.amazonaws.com", "herokuapp.com", "*.blogspot.com"])
def test_a_domain_that_its_owner_lends_to_others_is_still_its_owners(name: str) -> None:
    assert codes(name) == []


@pytest.mark.parametrize(
    "name", ["com", "co.uk", "CO.UK", "gov", "kobe.jp", "a.kobe.jp", "a.ck", "xn--p1ai", "unheard-of", "server"]
)
def test_a_public_suffix_itself_is_nobodys(name: str) -> None:
    assert codes(name) == ["name.public-suffix"]


@pytest.mark.parametrize("name", ["*.com", "*.co.uk", "*.kobe.jp", "*.a.kobe.jp", "*.ck", "*.xn--p1ai", "*.unheard-of"])
def test_a_wildcard_right_below_a_public_suffix_would_cover_strangers(name: str) -> None:
    assert codes(name) == ["name.wildcard-public-suffix"]


@pytest.mark.parametrize("name", ["", ".", "*.", "a..com", "example.com.", "192.0.2.1", "*", "**.com"])
def test_what_is_no_name_is_left_to_the_check_of_syntax(name: str) -> None:
    assert [code for code in codes(name) if code == "name.wildcard-public-suffix"] == []


def test_each_rule_of_the_bundled_list_is_heeded_in_its_canonical_form() -> None:
    rules = icann_rules()
    assert len(rules) > 5_000
    for rule in rules:
        bare = rule.removeprefix("!").removeprefix("*.")
        name = normalise_dns(f"below.{bare}" if rule.startswith("*.") else bare)
        assert name.isascii()
        expected = [] if rule.startswith("!") else ["name.public-suffix"]
        assert codes(name) == expected, rule

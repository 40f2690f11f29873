"""Strategies for policies and requests: such as fit each other, such as have one mistake, and wild ones."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.property.asking import (
    CLIENTS_END,
    DRAWN,
    KEY_TYPES,
    KINDS,
    MISTAKES,
    OID,
    Asked,
    NamesPlan,
    Plan,
    Values,
    by_kind,
)

PUBLIC_KEY_TYPES = KEY_TYPES[:3]
TODAYS = (date(2026, 11, 20), date(2027, 2, 28), CLIENTS_END, date(2029, 3, 15))
DER = ("BQA=", "AQH/", "DAVoZWxsbw==", "MAMCAQU=")

# --- values -------------------------------------------------------------------------------------------------------

letters = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
texts = st.builds(
    "{}{}{}".format,
    st.sampled_from("ABCÄΩЯ"),
    st.text("abc éß北-'&", max_size=12),
    st.sampled_from("xyz9"),
)
hosts = st.builds("{}.{}".format, letters, st.sampled_from(["example.com", "example.org", "a.example.net"]))
wildcards = hosts.map("*.{}".format)
internal_hosts = st.sampled_from(["printer.local", "db.house.internal", "intranet", "1.0.0.10.in-addr.arpa"])
NAMES = {
    "dns": hosts | wildcards | internal_hosts,
    "ip": st.ip_addresses().map(str),
    "email": st.builds("{}@{}".format, letters, hosts),
    "uri": st.builds("{}//{}/{}".format, st.sampled_from(["https:", "spiffe:"]), hosts, letters),
    "upn": st.builds("{}@{}".format, letters, hosts),
}
ATTRIBUTES = {
    "C": st.sampled_from(["GB", "DE", "FR"]),
    "O": texts,
    "OU": texts,
    "L": texts,
    "ST": texts,
    "serialNumber": st.text("ABC0123456789", min_size=1, max_size=10),
    f"{OID}.20": texts,
}
PUBLIC_ATTRIBUTES = ("C", "O", "OU", "L", "ST")
USAGES = {
    "rsa": ["digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment"],
    "ecdsa": ["digitalSignature", "nonRepudiation", "keyAgreement"],
    "ed25519": ["digitalSignature", "nonRepudiation"],
}
PUBLIC_USAGES = {"rsa": ["digitalSignature", "keyEncipherment"], "ecdsa": ["digitalSignature"]}
PURPOSES = ["serverAuth", "clientAuth", "emailProtection", "codeSigning", f"{OID}.30"]


def several(values: st.SearchStrategy[str], *, least: int = 0, most: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    """Different ones of these values."""
    return st.lists(values, min_size=least, max_size=most, unique=True).map(tuple)


# --- plans --------------------------------------------------------------------------------------------------------


@st.composite
def attributes(draw: st.DrawFn, kind: str, values: st.SearchStrategy[str], *, most: int = 1) -> Plan:
    """An attribute whose values come to it in any of the ways that there are."""
    pool = draw(several(values, least=1, most=3))
    some = several(st.sampled_from(pool), most=most)
    if draw(st.booleans()):
        from_csr = draw(st.booleans())
        csr = (
            draw(st.sampled_from([(), pool[:1], pool[-1:]])) if not from_csr else draw(st.sampled_from([(), pool[:1]]))
        )
        return Plan({"type": kind, "fixed": pool[0], "from_csr": from_csr}, csr, (), pool[:1])
    from_csr, editable, default = draw(st.booleans()), draw(st.booleans()), draw(st.none() | st.just(pool[0]))
    csr, entered = draw(some), draw(some) if editable else ()
    final = entered or (csr if from_csr else ()) or ((default,) if default else ())
    rule = {
        "type": kind,
        "from_csr": from_csr,
        "editable_by": ["requester"] if editable else [],
        "default": default,
        "allowed": pool if draw(st.booleans()) else (),
        "max_values": most,
        "required": bool(final) and draw(st.booleans()),
    }
    return Plan(rule, csr, entered, final)


@st.composite
def extensions(
    draw: st.DrawFn, kind: str, pool: list[str], *, critical: bool = False, needed: str = "", single: bool = False
) -> Plan:
    """An extension whose values come to it in any of the ways that there are; `needed` is always among them."""
    some = several(st.sampled_from(pool), least=1, most=1 if single else 3).map(
        lambda values: tuple(dict.fromkeys((*([needed] if needed else ()), *values)))
    )
    maybe = st.just(()) | some
    rule: dict[str, Any] = {"type": kind, "critical": critical}
    if draw(st.booleans()):
        fixed = draw(some)
        return Plan(rule | {"fixed": fixed}, draw(maybe), (), fixed)
    from_csr, editable, default = draw(st.booleans()), draw(st.booleans()), draw(st.none() | some)
    if needed and default is None:
        from_csr = True
    if not (from_csr or editable):
        default = default or draw(some)
    csr, entered = draw(some if needed and default is None else maybe), draw(maybe) if editable else ()
    final = entered or (csr if from_csr else ()) or default or ()
    rule |= {
        "from_csr": from_csr,
        "editable_by": ["requester"] if editable else [],
        "default": default,
        "allowed": pool if draw(st.booleans()) else None,
        "required": bool(final) and draw(st.booleans()),
    }
    return Plan(rule, csr, entered, final)


@st.composite
def names(draw: st.DrawFn, *, kinds: tuple[str, ...], dns: st.SearchStrategy[str], least: int) -> NamesPlan:
    """Alternative names of some of these kinds."""
    allowed = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=len(kinds), unique=True))
    each = st.sampled_from(allowed).flatmap(
        lambda kind: (dns if kind == "dns" else NAMES[kind]).map(f"{kind}:{{}}".format)
    )
    some, maybe = several(each, least=max(least, 1), most=4), several(each, least=least, most=4)
    from_csr, editable = draw(st.sampled_from([(True, False), (True, True), (False, True)]))
    csr = draw(maybe if from_csr else st.just(()) | some)
    entered = draw(some if not from_csr and least else st.just(()) | some) if editable else ()
    final = entered or (csr if from_csr else ())
    rule = {
        "type": "subjectAltName",
        "critical": draw(st.booleans()),
        "kinds": allowed,
        "from_csr": from_csr,
        "editable_by": ["requester"] if editable else [],
        "required": bool(final) and draw(st.booleans()),
    }
    return NamesPlan(rule, csr, entered, final)


@st.composite
def good_requests(draw: st.DrawFn) -> Asked:
    """A request that must be accepted."""
    public, today = draw(st.booleans()), draw(st.sampled_from(TODAYS))
    key_type = draw(st.sampled_from(PUBLIC_KEY_TYPES if public else KEY_TYPES))
    further = draw(_public_extensions(key_type, today) if public else _private_extensions(key_type))
    finals = {plan.type: plan.final for plan in further}
    purposes = finals.get("extendedKeyUsage", ())
    if public:
        named = draw(names(kinds=("dns",), dns=hosts | wildcards, least=1))
    elif "serverAuth" not in purposes and draw(st.booleans()):
        named = NamesPlan()
    else:
        named = draw(names(kinds=KINDS, dns=NAMES["dns"], least=0))
    subject, named = draw(_subjects(public=public, names=named, purposes=purposes))
    days = draw(st.integers(2, 200 if public else 900))
    most = min(days, 47) if public else days
    return Asked(
        public=public,
        today=today,
        key_type=key_type,
        subject=subject,
        names=named,
        extensions=further,
        own=() if public else draw(_own_extensions()),
        signing=_signing(public=public, days=days),
        request={
            "expires_on": draw(st.none() | st.integers(1, most - 1).map(lambda more: today + timedelta(days=more))),
            "signature_hash": draw(st.sampled_from([None, "sha256", "sha384"])),
        },
    )


def _signing(*, public: bool, days: int) -> Values:
    return {
        "ca": "digicert",
        "trust": "public" if public else "private",
        "certificate_file": "imported.pem",
        "intermediate_file": "intermediate.pem",
        "product": "unknown_here",
        "organization_id": 1,
        "ca_cert_id": "1",
        "key_types": sorted(PUBLIC_KEY_TYPES if public else KEY_TYPES),
        "signature_hashes": ["sha256", "sha384"],
        "max_validity_days": days,
        "approval_groups": ["web"],
        "extension_profiles": [DRAWN],
        "dn_profiles": [DRAWN],
    }


@st.composite
def _public_extensions(draw: st.DrawFn, key_type: str, today: date) -> tuple[Plan, ...]:
    purposes = ["serverAuth", "clientAuth"] if today < CLIENTS_END else ["serverAuth"]
    usages = PUBLIC_USAGES[key_type.partition("-")[0]]
    found = [draw(extensions("extendedKeyUsage", purposes, needed="serverAuth"))]
    if draw(st.booleans()):
        found.append(draw(extensions("keyUsage", usages, critical=True, needed="digitalSignature")))
    if draw(st.booleans()):
        found.append(draw(extensions("basicConstraints", ["CA:FALSE"], critical=True, single=True)))
    return tuple(draw(st.permutations(found)))


@st.composite
def _private_extensions(draw: st.DrawFn, key_type: str) -> tuple[Plan, ...]:
    usages = USAGES[key_type.partition("-")[0]]
    possible = [
        extensions("keyUsage", usages, critical=True),
        extensions("extendedKeyUsage", PURPOSES),
        extensions("basicConstraints", ["CA:FALSE"], critical=True, single=True),
        extensions("certificatePolicies", [f"{OID}.40", f"{OID}.41"]),
        extensions(f"{OID}.50", list(DER), critical=draw(st.booleans()), single=True),
    ]
    chosen = draw(st.lists(st.sampled_from(range(len(possible))), min_size=1, unique=True))
    return tuple(draw(possible[place]) for place in chosen)


@st.composite
def _own_extensions(draw: st.DrawFn) -> tuple[tuple[str, bool, str], ...]:
    oids = draw(several(st.sampled_from([f"{OID}.60", f"{OID}.61"]), most=2))
    return tuple((oid, draw(st.booleans()), draw(st.sampled_from(DER))) for oid in oids)


@st.composite
def _subjects(
    draw: st.DrawFn, *, public: bool, names: NamesPlan, purposes: tuple[str, ...]
) -> tuple[tuple[Plan, ...], NamesPlan]:
    """A subject, and the names with the common name of it that a server must have among them."""
    kinds = draw(several(st.sampled_from(PUBLIC_ATTRIBUTES if public else tuple(ATTRIBUTES)), most=4))
    plans = [draw(attributes(kind, ATTRIBUTES[kind], most=3 if kind == "OU" else 1)) for kind in kinds]
    if draw(st.booleans()):
        known = by_kind(names.final).get("dns", [])
        servers = hosts if not known else st.sampled_from(known) | hosts
        plans.append(draw(attributes("CN", servers if "serverAuth" in purposes else servers | texts)))
    final = [value for plan in plans if plan.type == "CN" for value in plan.final]
    serves = "serverAuth" in purposes or (not purposes and names.rule is not None)
    added = [f"dns:{value}" for value in final if serves and "." in value and f"dns:{value}" not in names.final]
    if added and names.rule is not None:
        kinds_now = list(dict.fromkeys([*names.rule["kinds"], "dns"]))
        names = replace(names, rule={**names.rule, "kinds": kinds_now}, final=(*added, *names.final))
    if not names.final and not any(plan.final for plan in plans):
        plans.append(Plan({"type": "title", "fixed": "Somebody"}, final=("Somebody",)))
    elif not plans:
        plans.append(Plan({"type": "title"}))
    return tuple(draw(st.permutations(plans))), names


# --- good or not ---------------------------------------------------------------------------------------------------


@st.composite
def any_requests(draw: st.DrawFn) -> Asked:
    """A good request, or one with a mistake."""
    asked = draw(good_requests())
    _, spoil = draw(st.sampled_from(list(MISTAKES.values())))
    return spoil(asked) if draw(st.booleans()) else asked


# --- whatever people try --------------------------------------------------------------------------------------------

odd = st.sampled_from([*"\0\n .*-_@:/%é", "\u212a", "\u200d", "\u202e", "İ", "ß", "\u3002", "xn--", "--"])
odd_hosts = st.builds(
    lambda host, place, inserted: host[:place] + inserted + host[place:], hosts, st.integers(0, 20), odd
)
anything = st.text(max_size=20) | hosts.map(str.upper) | odd_hosts | wildcards | st.sampled_from(["", "com", "*.com"])


@st.composite
def wild_requests(draw: st.DrawFn, suffix: str) -> Asked:
    """Common names and alternative names of any kind and form, where DNS names must be below this suffix."""
    asked = draw(good_requests())
    rule = {
        "type": "subjectAltName",
        "kinds": KINDS,
        "required": False,
        "dns_suffixes": [suffix],
        "editable_by": ["requester"],
    }
    kinds = st.sampled_from([kind for kind in KINDS if kind != "ip"])
    named = st.builds("{}:{}".format, kinds, anything) | hosts.map("dns:{}".format)
    common_names = draw(st.lists(anything | hosts, max_size=2))
    given = draw(st.lists(named, max_size=3))
    return replace(
        asked,
        subject=(Plan({"type": "CN", "max_values": 2}), Plan({"type": "O", "fixed": "Example Ltd"})),
        names=NamesPlan(rule, entered=tuple(given if draw(st.booleans()) else ())),
        recipe={"subject": [f"CN={name}" for name in common_names], "names": given},
    )

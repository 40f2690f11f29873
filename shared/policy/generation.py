"""What a policy must say where the issuer makes key pairs: pure, no I/O."""

from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from shared.policy.model import EnrollmentMethod, OpeningKey, SigningCertificate, Trust
from shared.vocabulary.findings import Finding, finding
from shared.x509.profiles import ExtensionProfile

_KEYS = TypeAdapter(tuple[OpeningKey, ...])


def opening_keys_in(parsed: object) -> tuple[OpeningKey, ...]:
    """The opening keys of a policy file as far as they can be read; what is wrong with them is said elsewhere."""
    try:
        return _KEYS.validate_python(parsed)
    except ValidationError:
        return ()


def check_opening_keys(where: str, keys: Sequence[OpeningKey]) -> Iterator[Finding]:
    """Why these can't be told from one another."""
    if len({each.key.kid for each in keys}) != len(keys):
        yield finding("policy.opening-key-twice", f"{where}: the same key stands here twice")


def check_generated(
    where: str,
    signing: SigningCertificate,
    profiles: Sequence[tuple[str, ExtensionProfile]],
    keys: Sequence[OpeningKey],
    *,
    operated_by_subscriber: bool,
) -> Iterator[Finding]:
    """Why the issuer can't, or may not, make key pairs for this signing certificate."""
    if EnrollmentMethod.GENERATED not in signing.enrollment_methods:
        if signing.generated is not None:
            text = f"{where}: there are rules for key pairs to be made, but enrollment_methods has no generated"
            yield finding("policy.generated-idle", text)
        return
    if signing.trust is Trust.PUBLIC and not operated_by_subscriber:
        text = (
            f"{where}: nobody but the subscriber may make the key pair of a publicly trusted server certificate "
            "(BR 6.1.1.3): only where `operated_by_subscriber = true` says that this RA is run by the subscriber"
        )
        yield finding("policy.generated-for-public", text, value=EnrollmentMethod.GENERATED)
    if all(each.retired for each in keys):
        text = f"{where}: passwords need an opening key of the issuer that is not retired: see `opening_keys`"
        yield finding("policy.opening-key-missing", text)
    for name, profile in profiles:
        names = profile.names
        if (
            names is not None
            and names.required
            and not names.editable_by
            and signing.enrollment_methods == {"generated"}
        ):
            text = f"{where}: extension profile {name} takes names from a CSR only, and there is none"
            yield finding("policy.profile-unsatisfiable", text, value=name)

"""`ra submit generated`: ask for a certificate whose key pair the issuer makes, under a sealed password."""

from pathlib import Path
from typing import Annotated

import typer

from services.desk.choices import Choices, completed
from services.desk.commands.asking import (
    BehalfOption,
    EmailOption,
    ExpiryOption,
    HashOption,
    NotesOption,
    PrintOption,
    RequestIdOption,
    WaitOption,
    content_of,
    sent,
)
from services.desk.commands.picks import (
    ApprovalGroupPick,
    DnProfilePick,
    ExtensionProfilePick,
    SigningCertificatePick,
)
from services.desk.entering import entered
from services.desk.exits import usage
from services.desk.frame import Desk, WaitLimitOption
from services.desk.passphrase import choose_password
from shared.contracts.replies import GeneratedOption, OptionsResult
from shared.errors import RefusedError
from shared.identifiers import new_request_id
from shared.password_policy import PasswordRules, check_password
from shared.sealing import seal
from shared.vocabulary.findings import finding
from shared.vocabulary.keys import OpeningPublicKey
from shared.vocabulary.names import RequestId
from shared.x509.encryption import Pkcs12Encryption


def submit_generated(
    desk: Desk,
    *,
    key_type: Annotated[str, typer.Option(metavar="TYPE", help="Such as ecdsa-p256; see `ra options`.")],
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE|-", help="The password of the PKCS#12; else it is asked for on the terminal."),
    ] = None,
    old_readers: Annotated[
        bool, typer.Option("--old-readers", help="Encrypt the PKCS#12 weakly (3DES), where the policy allows it.")
    ] = False,
    signing_certificate: SigningCertificatePick = None,
    approval_group: ApprovalGroupPick = None,
    extension_profile: ExtensionProfilePick = None,
    dn_profile: DnProfilePick = None,
    dn: Annotated[
        list[str] | None, typer.Option("--dn", metavar="TYPE=VALUE", help="An attribute of the subject.")
    ] = None,
    san: Annotated[
        list[str] | None, typer.Option("--san", metavar="KIND:NAME", help="A name such as dns:www.example.com.")
    ] = None,
    extension: Annotated[
        list[str] | None, typer.Option("--extension", metavar="TYPE=VALUES", help="As for `ra submit csr`.")
    ] = None,
    signature_hash: HashOption = None,
    name: Annotated[str | None, typer.Option(help="What to call the request; its CN if not given.")] = None,
    expires_on: ExpiryOption = None,
    notes: NotesOption = "",
    email: EmailOption = None,
    on_behalf_of: BehalfOption = None,
    request: RequestIdOption = None,
    only_print: PrintOption = False,
    wait: WaitOption = False,
    limit: WaitLimitOption = 600.0,
) -> None:
    """Have the issuer make a key pair, and get it with its certificate as PKCS#12, under a password of yours.

    The password is sealed here, to the issuer's key in the anchor of your profile: nobody on the way can read it, and
    nobody can tell it to you again. With --request-id it is sealed anew: that is refused if the first one has arrived.
    """
    values = entered(subject=dn or (), names=san or (), extensions=extension or ())
    options = desk.ask(lambda client: client.options())
    choices = completed(Choices(signing_certificate, approval_group, extension_profile, dn_profile), options)
    rules = _rules(options, choices)
    called = name or next((each.value for each in values.subject if each.type == "CN"), None)
    if called is None:
        raise usage("there is no CN that the request could be called by: give it a name with --name")
    request = request or new_request_id()
    key = _opening_key(desk)
    password = choose_password(password_file)
    words = [called, desk.profile.identity, *(name for _, name in sorted(values.names.as_set()))]
    wanted = PasswordRules(min_length=rules.password_min_length, min_score=rules.password_min_score)
    if findings := check_password(password, wanted, words=words):
        raise RefusedError.of(findings)
    content = content_of(
        **vars(choices),
        method="generated",
        generated={
            "key_type": key_type,
            "sealed_password": seal(password, RequestId(request), key),
            "pkcs12": Pkcs12Encryption.TRIPLE_DES if old_readers else Pkcs12Encryption.PBES2_AES_256,
        },
        request_id=request,
        name=called[:100],
        entered=values,
        signature_hash=signature_hash,
        expires_on=expires_on and expires_on.date(),
        notes=notes,
        emails=tuple(email or ()),
        on_behalf_of=on_behalf_of,
    )
    sent(desk, content, only_print=only_print, wait_seconds=limit if wait else None)


def _opening_key(desk: Desk) -> OpeningPublicKey:
    """The issuer's, by what the profile trusts: what a message says of it could be anybody's."""
    keys = () if desk.anchor is None else desk.anchor.opening_keys
    if not keys:
        text = "a password is sealed to the issuer's key, and the profile trusts no anchor that has one: see [trust]"
        raise RefusedError(finding("config.opening-key-missing", text))
    return keys[0]


def _rules(options: OptionsResult, choices: Choices) -> GeneratedOption:
    signing = next(each for each in options.signing_certificates if each.name == choices.signing_certificate)
    if signing.generated is None:
        raise usage(f"the issuer makes no key pairs for {signing.name}: submit a CSR")
    return signing.generated

"""The routes of certificates: downloads, chains, revocation."""

import io
import zipfile
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.sandbox import views
from tests.sandbox.account import Sandbox
from tests.sandbox.calls import caller, number_in
from tests.sandbox.errors import invalid_value, not_found
from tests.sandbox.revocation import revocation
from tests.sandbox.roles import Power

Chain = tuple[str, ...]
_PEM_FILE = "application/x-pem-file"
"""Documented for `pem_all`; guessed for the other PEM formats, which are known from clients only."""
_PKCS7 = "application/x-pkcs7-certificates"


def _all(chain: Chain) -> Chain:
    return chain


def _leaf_only(chain: Chain) -> Chain:
    return chain[:1]


def _without_root(chain: Chain) -> Chain:
    last = x509.load_pem_x509_certificate(chain[-1].encode())
    return chain[:-1] if last.issuer == last.subject else chain


_PEMS: dict[str, Callable[[Chain], Chain]] = {
    "pem_all": _all,
    "pem_noroot": _without_root,
    "pem_nointermediate": _leaf_only,
    "crt": _leaf_only,
    "pem": _leaf_only,
}
_ZIPS: dict[str, Callable[[Chain], Chain]] = {
    "default": _all,
    "default_cer": _all,
    "default_pem": _all,
    "apache": _without_root,
}


def certificate_routes(sandbox: Sandbox) -> list[Route]:
    ledger = sandbox.ledger

    def chain_of(request: Request) -> Chain:
        caller(request, Power.READ)
        _, certificate = ledger.certificate(request.path_params["certificate"])
        return ledger.downloadable(certificate).chain

    async def download(request: Request) -> Response:
        return _download(chain_of(request), request.path_params.get("format", "default"))

    async def download_order(request: Request) -> Response:
        caller(request, Power.READ)
        certificate = ledger.order(number_in(request, "order")).current
        if certificate.status != "issued":  # the active certificate only
            raise not_found()
        return _download(ledger.downloadable(certificate).chain, request.path_params.get("format", "default"))

    async def download_platform(request: Request) -> Response:
        # Guessed for every platform: a client is known to read PEM without the root for one of them.
        return _download(chain_of(request), "pem_noroot")

    async def chain(request: Request) -> Response:
        # That the leaf stands among the "intermediates" is what clients have seen; it is not documented.
        return JSONResponse({"intermediates": views.chain_entries(chain_of(request))})

    async def revoke(request: Request) -> Response:
        order, certificate = ledger.certificate(request.path_params["certificate"])
        return await revocation(sandbox, request, order, certificate, whole_order=False)

    return [
        Route("/certificate/download/order/{order}", download_order),
        Route("/certificate/download/order/{order}/format/{format}", download_order),
        Route("/certificate/{certificate}/download/format/{format}", download),
        Route("/certificate/{certificate}/download/platform", download),
        Route("/certificate/{certificate}/download/platform/{platform}", download_platform),
        Route("/certificate/{certificate}/chain", chain),
        Route("/certificate/{certificate}/revoke", revoke, methods=["PUT"]),
    ]


def _download(chain: Chain, name: str) -> Response:
    if name in _PEMS:
        return Response("".join(_PEMS[name](chain)), media_type=_PEM_FILE)
    if name in {"p7b", "cer"}:
        certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in chain]
        return Response(pkcs7.serialize_certificates(certificates, Encoding.PEM), media_type=_PKCS7)
    if name in _ZIPS:
        return Response(_zipped(_ZIPS[name](chain)), media_type="application/zip")
    raise invalid_value("format_type")


def _zipped(chain: Chain) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, pem in enumerate(chain):
            archive.writestr("certificate.crt" if number == 0 else f"issuer-{number}.crt", pem)
    return content.getvalue()

"""Download formats: what a certificate can be delivered as."""

from enum import StrEnum


class DownloadFormat(StrEnum):
    """The name of a format, as `ra download --format` takes it."""

    PEM_X509 = "pem-x509"
    DER_X509 = "der-x509"
    PEM_PKCS7 = "pem-pkcs7"
    DER_PKCS7 = "der-pkcs7"
    DER_PKCS12 = "der-pkcs12"


MEDIA_TYPES: dict[DownloadFormat, str] = {
    DownloadFormat.PEM_X509: "application/pem-certificate-chain",
    DownloadFormat.DER_X509: "application/pkix-cert",
    DownloadFormat.PEM_PKCS7: "application/x-pem-file",
    DownloadFormat.DER_PKCS7: "application/pkcs7-mime",
    DownloadFormat.DER_PKCS12: "application/x-pkcs12",
}

FILE_SUFFIXES: dict[DownloadFormat, str] = {
    DownloadFormat.PEM_X509: ".pem",
    DownloadFormat.DER_X509: ".cer",
    DownloadFormat.PEM_PKCS7: ".p7b",
    DownloadFormat.DER_PKCS7: ".p7c",
    DownloadFormat.DER_PKCS12: ".p12",
}

"""The CA's client as a duty's settings describe it."""

from prometheus_client import CollectorRegistry

from shared.config import CaSettings, Secret
from shared.digicert.client import DigiCertClient
from shared.errors import RefusedError
from shared.observability.metrics import CaMetrics
from shared.vocabulary.findings import finding


def open_client(settings: CaSettings, registry: CollectorRegistry) -> DigiCertClient:
    """A client that reads its API key anew for each call, so that an operator can change it.

    Raises:
        RefusedError: `config.secret-unreadable` or `config.ca-url`.
    """
    key = Secret(settings.api_key_file)
    key.reveal()

    def present_key() -> str:
        try:
            return key.reveal()
        except RefusedError as error:
            raise OSError(str(error)) from None  # by now, the CA is away until the file is back

    try:
        return DigiCertClient(
            base_url=settings.url,
            api_key=present_key,
            timeout=settings.timeout_seconds,
            max_concurrency=settings.concurrency,
            observe=CaMetrics(registry).count,
        )
    except ValueError as error:
        raise RefusedError(finding("config.ca-url", f"ca.url: {error}", value=settings.url)) from None

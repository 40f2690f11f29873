"""The CA's client as a duty's settings describe it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from prometheus_client import CollectorRegistry

from shared.config import CaSettings, Secret
from shared.digicert.client import DigiCertClient
from shared.digicert.pacing import MARGIN, MemoryAccounts, Quota
from shared.digicert.quota import DOCUMENTED_WINDOWS, Account, RateWindow
from shared.digicert.reader import DigiCertReader
from shared.digicert.transport import PATIENCE
from shared.errors import RefusedError
from shared.messaging.aggregate import Store
from shared.observability.metrics import CaMetrics
from shared.vocabulary.findings import finding

ACCOUNT = "ca"
"""The name of an API key's account where nobody gives another one."""

ConnectionT = TypeVar("ConnectionT", bound=DigiCertReader)


def open_client(
    settings: CaSettings, registry: CollectorRegistry, accounts: Store[Account] | None = None
) -> DigiCertClient:
    """A client that reads its API key anew for each call, so that an operator can change it.

    Whoever shares the key must share the accounts; without any, this process has the key to itself.

    Raises:
        RefusedError: `config.secret-unreadable` or `config.ca-url`.
    """
    return _opened(DigiCertClient, settings, registry, accounts)


def open_reader(
    settings: CaSettings,
    registry: CollectorRegistry,
    accounts: Store[Account] | None = None,
    *,
    patience: float = PATIENCE,
) -> DigiCertReader:
    """The same for a view-only key: what it gives cannot order or revoke.

    `patience` is how many seconds a call may wait for its turn under the quota.
    """
    return _opened(DigiCertReader, settings, registry, accounts, patience=patience)


def _opened(
    kind: Callable[..., ConnectionT],
    settings: CaSettings,
    registry: CollectorRegistry,
    accounts: Store[Account] | None,
    *,
    patience: float = PATIENCE,
) -> ConnectionT:
    key = Secret(settings.api_key_file)
    key.reveal()

    def present_key() -> str:
        try:
            return key.reveal()
        except RefusedError as error:
            raise OSError(str(error)) from None  # by now, the CA is away until the file is back

    try:
        return kind(
            base_url=settings.url,
            api_key=present_key,
            timeout=settings.timeout_seconds,
            max_concurrency=settings.concurrency,
            quota=_quota(settings, accounts),
            patience=patience,
            observe=CaMetrics(registry).count,
        )
    except ValueError as error:
        raise RefusedError(finding("config.ca-url", f"ca.url: {error}", value=settings.url)) from None


def _quota(settings: CaSettings, accounts: Store[Account] | None) -> Quota | None:
    windows = _windows(settings)
    if not windows:
        return None
    return Quota(
        accounts or MemoryAccounts(),
        key=ACCOUNT,
        windows=windows,
        call_seconds=settings.timeout_seconds,
        margin=MARGIN if accounts is not None else timedelta(0),
    )


def _windows(settings: CaSettings) -> Sequence[RateWindow]:
    if settings.rate_windows is None:
        return DOCUMENTED_WINDOWS
    return [RateWindow(window.calls, window.seconds) for window in settings.rate_windows]

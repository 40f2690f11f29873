"""The calls of the API by name, so that a fault can say which ones it means."""

import re
from typing import NamedTuple


class Endpoint(NamedTuple):
    method: str
    path: re.Pattern[str]
    """Of the whole path behind `/services/v2`."""

    def is_called(self, method: str, path: str) -> bool:
        return method == self.method and self.path.fullmatch(path) is not None


_ID = r"[^/]+"
_ORDER = rf"/order/certificate/(?!status-changes$){_ID}"


def _endpoint(method: str, path: str) -> Endpoint:
    return Endpoint(method, re.compile(path))


ENDPOINTS = {
    "order.place": _endpoint("POST", _ORDER),
    "order.reissue": _endpoint("POST", rf"{_ORDER}/reissue"),
    "order.duplicate": _endpoint("POST", rf"{_ORDER}/duplicate"),
    "order.reissues": _endpoint("GET", rf"{_ORDER}/reissue"),
    "order.duplicates": _endpoint("GET", rf"{_ORDER}/duplicate"),
    "order.info": _endpoint("GET", _ORDER),
    "order.list": _endpoint("GET", "/order/certificate"),
    "order.changes": _endpoint("GET", "/order/certificate/status-changes"),
    "order.alternate": _endpoint("GET", rf"/order/alternate/{_ID}"),
    "order.cancel": _endpoint("PUT", rf"{_ORDER}/status"),
    "order.revoke": _endpoint("PUT", rf"{_ORDER}/revoke"),
    "certificate.download": _endpoint("GET", r"/certificate/.*download.*"),
    "certificate.chain": _endpoint("GET", rf"/certificate/{_ID}/chain"),
    "certificate.revoke": _endpoint("PUT", rf"/certificate/{_ID}/revoke"),
    "request.list": _endpoint("GET", "/request"),
    "request.info": _endpoint("GET", rf"/request/{_ID}"),
    "request.approve": _endpoint("PUT", rf"/request/{_ID}/status"),
    "product.list": _endpoint("GET", "/product"),
    "product.info": _endpoint("GET", rf"/product/{_ID}"),
    "product.limits": _endpoint("GET", rf"/container/{_ID}/product-limits"),
    "intermediate.list": _endpoint("GET", "/certificate/intermediates"),
}

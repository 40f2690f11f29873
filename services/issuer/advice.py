"""What an operator is told of an entry of the ledger: pure, no I/O."""

from datetime import UTC, datetime, timedelta

from services.issuer.model import Order
from services.issuer.ports import APPROVAL_THERE, LEFT_THERE
from shared.contracts.replies import OrderResult, OrderSummary
from shared.errors import RefusedError
from shared.policy.policy import Policy
from shared.vocabulary.findings import finding
from shared.vocabulary.names import ApprovalGroupName, IdentityName
from shared.vocabulary.orders import OrderState
from shared.vocabulary.permissions import Permission

APPROVE_THERE = "Have it approved at the CA, or let the issuer's API key approve orders there: it tries each hour."
FEED_LATE = timedelta(minutes=15)
"""By then, a status feed that works has been read several times, whatever the settings."""
FEED_UNREAD = (
    "`a round was cut short` in the issuer's log says why. Until it is read, each order is looked at once in "
    "`safety_look_seconds`, one day if not set otherwise."
)
DECIDED = "Nothing: it is decided, and done as soon as the CA has been asked once more."
BY_ITSELF = "What the reasons say, if they name somebody; it is tried again by itself."
_WHAT_TO_DO = {
    OrderState.WITNESSED: "Nothing: there is no approval yet.",
    OrderState.RETURNED: "Nothing: its approvers must decide again.",
    OrderState.ACCEPTED: "Nothing: it is ordered in its turn.",
    OrderState.INTENT: "Nothing: the CA is asked whether it has the order before it is ordered again.",
    OrderState.ISSUED: "Nothing: the certificate is there.",
    OrderState.WITHDRAWN: "Nothing: a requester took it back before it was ordered.",
    OrderState.FAILED: "Nothing: its requester may ask anew.",
    OrderState.QUARANTINED: "Have the certificate revoked: `ra revoke`.",
}


def visible(order: Order | None, sender: IdentityName, policy: Policy) -> Order:
    """The entry, if this identity may audit its group.

    Raises:
        RefusedError: `request.unknown`, also where there is one that it may not see.
    """
    if order is None or order.approval_group not in policy.groups_of(sender, Permission.AUDIT):
        raise RefusedError(finding("request.unknown", "there is no order for such a request that you may see"))
    return order


def audited(sender: IdentityName, asked: ApprovalGroupName | None, policy: Policy) -> list[ApprovalGroupName]:
    """The groups that this identity may audit, or of these the one that is asked about.

    Raises:
        RefusedError: `identity.not-permitted`, there is none.
    """
    groups = policy.groups_of(sender, Permission.AUDIT)
    if asked is not None:
        groups = [group for group in groups if group == asked]
    if not groups:
        raise RefusedError(finding("identity.not-permitted", "you may not audit this group's requests", value=asked))
    return groups


def summary_of(order: Order) -> OrderSummary:
    """The entry in one line."""
    if order.approval_group is None:
        raise ValueError("an entry that is listed has its approval group")
    return OrderSummary(
        request_id=order.id,
        approval_group=order.approval_group,
        state=order.state,
        accepted_at=_instant(order.accepted_at_ms),
        order_id=order.order_id,
        findings=order.findings,
    )


def shown(order: Order, *, feed_age: timedelta = timedelta(0)) -> OrderResult:
    """All of it that is of use to an operator; `feed_age` is how long ago the status feed was read to its end."""
    return OrderResult(
        order=summary_of(order),
        what_to_do=what_to_do(order, feed_age=feed_age),
        requesters=order.requesters,
        tries=order.tries,
        attempt=order.attempt,
        alternative_order_id=order.alternative_order_id,
        certificate_id=order.certificate_id,
        ca_status=order.ca_status,
        expires_on=order.expires_on,
        next_look=None if order.due is None else _instant(order.due),
    )


def what_to_do(order: Order, *, feed_age: timedelta = timedelta(0)) -> str:
    """What an operator should do about it."""
    if order.settlement is not None:
        return DECIDED
    end_it = f"To end the request: `ra orders fail {order.id} --reason TEXT`."
    match order.state:
        case OrderState.PENDING if feed_age > FEED_LATE:
            minutes = int(feed_age.total_seconds() // 60)
            return f"The CA's status feed has not been read for {minutes} minutes: {FEED_UNREAD}"
        case OrderState.ACCEPTED | OrderState.PENDING if order.findings:
            waits_there = any(found.code == APPROVAL_THERE for found in order.findings)
            return f"{APPROVE_THERE if waits_there else BY_ITSELF} {end_it}"
        case OrderState.PENDING:
            text = f"Nothing for now: the CA works on it. If that takes long, look at order {order.order_id} there."
            return f"{text} {end_it}"
        case OrderState.UNCLEAR:
            return (
                "Look at the orders at the CA. Then name the one that is this request's, and cancel the others there: "
                f"`ra orders settle {order.id} --adopt ORDER`. Or say that none is, and have it ordered: `--none`. "
                f"{end_it}"
            )
        case _:
            return _left_there(order) or _WHAT_TO_DO[order.state]


def _left_there(order: Order) -> str | None:
    left = next((found.message for found in order.findings if found.code == LEFT_THERE), None)
    return None if left is None else f"{left[0].upper()}{left[1:]}."


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

"""What people are shown of requests, orders and signing certificates; `case_view` shows the cases."""

from collections.abc import Iterable, Iterator

from services.desk.explaining import Explanation
from services.desk.render import Rows, Screen, finding_line, lines, listed, moment, safe
from shared.contracts.replies import (
    GroupSummary,
    HistoryEntry,
    OrderResult,
    OrderSummary,
    PendingCase,
    RequestSummary,
    SigningCertificateStanding,
    StatusResult,
    UndeliveredMail,
)
from shared.vocabulary.states import State

REQUEST_COLUMNS = ("request", "state", "group", "name", "subject", "requesters", "changed")
ORDER_COLUMNS = ("request", "state", "order", "group", "accepted", "why")
PENDING_COLUMNS = ("request", "approvals", "mine", "group", "name", "subject", "requesters", "submitted")


def request_row(request: RequestSummary) -> tuple[str, ...]:
    """A request in the list of requests."""
    return (
        request.request_id,
        request.state,
        request.approval_group,
        request.name,
        request.subject,
        ", ".join(request.requesters),
        moment(request.changed_at),
    )


def pending_row(case: PendingCase) -> tuple[str, ...]:
    """A case in the approvers' list."""
    request = case.request
    return (
        request.request_id,
        f"{case.approvals} of {case.quorum}",
        "decided" if case.decided_by_me else "open",
        request.approval_group,
        request.name,
        request.subject,
        ", ".join(request.requesters),
        moment(request.submitted_at),
    )


def order_row(order: OrderSummary) -> tuple[str, ...]:
    """An order in the list of orders."""
    return (
        order.request_id,
        order.state,
        "" if order.order_id is None else str(order.order_id),
        order.approval_group,
        moment(order.accepted_at),
        order.findings[0].message if order.findings else "",
    )


def show_order(screen: Screen, shown: OrderResult) -> None:
    """Where an order stands, and what is to be done."""
    order = shown.order
    rows = [
        ("State", str(order.state)),
        ("Why", listed(finding_line(found) for found in order.findings)),
        ("What to do", safe(shown.what_to_do)),
        ("Order at the CA", "not known" if order.order_id is None else str(order.order_id)),
        ("The CA says", safe(shown.ca_status or "nothing yet")),
        ("Certificate at the CA", "none" if shown.certificate_id is None else str(shown.certificate_id)),
        ("Our id there", safe(shown.alternative_order_id or "none yet")),
        ("Sent to the CA", f"{shown.tries} times"),
        ("Asked for until", str(shown.expires_on or "not asked for yet")),
        ("Accepted", moment(order.accepted_at)),
        ("Looked at next", "not by itself" if shown.next_look is None else moment(shown.next_look)),
        ("Approval group", order.approval_group),
        ("Requesters", ", ".join(shown.requesters)),
    ]
    screen.sheet(f"Order for request {order.request_id}", rows)


def show_status(screen: Screen, status: StatusResult) -> None:
    """Where a request stands and how it came there."""
    screen.sheet(f"Request {status.request.request_id}", status_rows(status))


def status_rows(status: StatusResult) -> Rows:
    """Where a request stands and how it came there."""
    request = status.request
    rows = [
        ("State", str(request.state)),
        ("Name", safe(request.name)),
        ("Subject", safe(request.subject)),
        ("Names", listed(status.names)),
        ("Requesters", ", ".join(request.requesters)),
        ("Approval group", request.approval_group),
    ]
    if status.serial_number is not None:
        rows.append(("Serial number", safe(status.serial_number)))
    if status.not_after is not None:
        rows.append(("Valid until", moment(status.not_after)))
    rows.append(("Findings", listed(finding_line(found) for found in status.findings)))
    if status.undelivered:
        rows.append(("Mails given up", lines(map(_undelivered, status.undelivered))))
    return [*rows, ("History", lines(line for entry in status.history for line in _happened(entry)))]


def _undelivered(mail: UndeliveredMail) -> str:
    return f"{moment(mail.at)}  {safe(mail.news)} to {safe(mail.to)}: {safe(mail.reason)}"


def _happened(entry: HistoryEntry) -> Iterator[str]:
    yield f"{moment(entry.at)}  {entry.state}  {safe(entry.by)}: {safe(entry.message)}"
    for change in entry.differences:
        yield f"    {safe(change.what)}: {safe(change.before) or 'nothing'} -> {safe(change.after) or 'nothing'}"


def show_signing_certificate(screen: Screen, standing: SigningCertificateStanding) -> None:
    """Whether a signing certificate goes together with its product, and why."""
    asked = "never yet" if standing.facts_taken_at is None else moment(standing.facts_taken_at)
    rows = [
        ("Verdict", str(standing.fit)),
        ("Product", safe(f"{standing.product}, from CA certificate {standing.ca_cert_id}")),
        ("The CA was asked", asked),
        ("Because", listed((finding_line(found) for found in standing.findings), nothing="everything goes together")),
    ]
    if standing.attested_until is not None:
        rows.append(("Attested until", str(standing.attested_until)))
    screen.sheet(f"Signing certificate {standing.name}", rows)


def show_explanation(screen: Screen, explanation: Explanation) -> None:
    """What would happen to a request, rule by rule, and what the certificate would hold."""
    for step in explanation.steps:
        screen.say(f"{step.outcome:<12} {step.about}")
        for found in step.findings:
            screen.say(f"{'':<12} {finding_line(found)}")
    screen.listing(
        ("field", "value", "where it comes from"),
        [(value.what, ", ".join(value.values), value.origin) for value in explanation.values],
        empty="What the certificate would hold can't be told.",
    )
    if not explanation.accepted:
        screen.say("It would be refused.")
        return
    screen.say(f"It would be accepted, and wait for {explanation.quorum} approvals by {explanation.approval_group}.")


def state_name(state: State) -> str:
    """What a state is called in summaries, where its own word does not say it."""
    return "issued (signed)" if state is State.ISSUED else str(state)


def group_name(group: GroupSummary) -> str:
    """What a group is called in summaries."""
    return group.approval_group if group.complete else f"{group.approval_group} (so far)"


def summary_line(group: GroupSummary) -> str:
    """How many requests of a group stand in each state in which there are any."""
    counts = [f"{count} {state_name(state)}" for state in State if (count := group.counts.get(state, 0))]
    return safe(f"{group_name(group)}: {', '.join(counts) or 'no requests'}")


def summary_rows(groups: Iterable[GroupSummary]) -> Rows:
    """How many requests of each group stand in each state."""
    return [
        (group_name(group), lines(f"{group.counts.get(state, 0):>7}  {state_name(state)}" for state in State))
        for group in groups
    ]

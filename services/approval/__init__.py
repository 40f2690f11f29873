"""Approval: has the quorum of the right people approved exactly these bytes?

Consumes: accepted requests; `list`, `show`, `approve`, `deny`, `withdraw`; approvals that the issuer returns.
Publishes: `approval.request.approved`, `denied` and `withdrawn`, and replies.
Owns: cases, revisions and decisions.
May reach: RabbitMQ and its own database.
"""

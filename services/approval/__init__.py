"""Approval: has the quorum of the right people approved exactly these bytes?

Consumes: accepted requests; `list`, `show`, `edit`, `approve`, `deny`, `withdraw`; approvals that the issuer returns.
Publishes: `approval.request.edited`, `refused`, `approved`, `denied` and `withdrawn`; `approval.password.asked`;
replies.
Owns: cases, revisions and decisions.
May reach: RabbitMQ, its own database, and the linter, a process of its own.
"""

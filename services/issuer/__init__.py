"""The issuer: does the evidence hold, does the CA fit; then order, once.

Consumes: approved requests; `download`; and, as a witness, the denials that approvers send to approval.
Publishes: `issuer.request.returned`, `ordered` and `failed`, `issuer.certificate.issued` and `quarantined`, replies.
Owns: the ledger of orders and the certificates; refusals of evidence.
May reach: RabbitMQ, its own database, and the CA with the key that orders.
"""

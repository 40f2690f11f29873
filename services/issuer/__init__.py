"""The issuer: does the evidence hold, does the CA fit; then order, once. It makes key pairs, where it is to.

Consumes: approved requests; questions about sealed passwords; revocations; `download`, `orders`, `sealed`; and, as a
witness, the denials that approvers send to approval.
Publishes: `issuer.request.returned`, `ordered` and `failed`, `issuer.certificate.issued` and `quarantined`, replies.
Owns: the ledger of orders, the certificates and the keys it made, until they are erased; refusals of evidence.
Holds: the keys that open sealed passwords.
May reach: RabbitMQ, its own database, processes of its own that make keys, and the CA with the key that orders.
"""

"""The revoker: may this identity revoke this, and for this reason?

Consumes: issued and quarantined certificates; `revoke`, `confirm`, `deny`, `show`, `list`.
Publishes: `revoker.revocation.asked`, `revoker.certificate.revoked`, `revoker.revocation.failed`,
`revoker.key.blocked`, replies.
Owns: revocations.
May reach: RabbitMQ, its own database, and the CA with the key that revokes.
"""

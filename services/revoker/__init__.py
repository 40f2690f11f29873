"""The revoker: may this identity revoke this, and for this reason?

Consumes: issued and quarantined certificates; `revoke`, `confirm`, `deny`, `show`, `list`,
`certificates`, `campaign`, `progress`.
Publishes: `revoker.revocation.asked`, `revoker.certificate.revoked`, `revoker.revocation.failed`,
`revoker.key.blocked`, replies.
Owns: revocations, campaigns.
May reach: RabbitMQ, its own database, and the CA with the key that revokes.
"""

"""The revoker: may this identity revoke this, and for this reason?

Consumes: issued and quarantined certificates; `revoke`.
Publishes: `revoker.certificate.revoked`, `revoker.revocation.failed`, replies.
Owns: revocations.
May reach: RabbitMQ, its own database, and the CA with the key that revokes.
"""

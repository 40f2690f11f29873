"""The desk: what people act through, `ra`, with their own identity and key. It holds no authority.

Consumes: replies and notices to its identity.
Publishes: the commands of its identity.
Owns: nothing.
May reach: RabbitMQ, as whoever uses it; to reconcile, DigiCert with a view-only key.
"""

"""Intake: is this request well-formed, allowed, and fit for its profile?

Consumes: the submissions of each identity, in turn; `options`, `status`, `list`, `summary` and `export`; all
lifecycle events.
Publishes: `intake.request.accepted`, replies and notices. Sends mails.
Owns: the requests as the requester sees them, with their evidence and the mails to be sent; the known
keys; how many requests stand where.
May reach: RabbitMQ, its own database, and a mail server.
"""

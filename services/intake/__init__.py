"""Intake: is this request well-formed, allowed, and fit for its profile?

Consumes: the submissions of each identity, in turn; `options`, `status`, `list` and `export`; all lifecycle events.
Publishes: `intake.request.accepted`, replies and notices.
Owns: the requests as the requester sees them, with their evidence; the keys that are known already.
May reach: RabbitMQ and its own database.
"""

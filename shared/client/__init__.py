"""The client library: commands out, replies back, with one identity's own credentials."""

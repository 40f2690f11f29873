"""Mails about requests: who gets them, what they say, and when they are sent. No SMTP here: see the adapters."""

"""Contracts: every message that crosses the broker, as frozen strict models.

A new meaning is a `v2` beside the `v1`.
"""

"""Stand-ins that keep the contracts of the real parts, for unit tests."""

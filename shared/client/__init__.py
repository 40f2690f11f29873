"""The client library: commands out, replies back, with one identity's own credentials.

`RaClient` is what programs use; `read_profile`, `read_signer` and `read_anchor` give it what it needs.
"""

from shared.client.client import RaClient
from shared.client.profile import Profile, read_anchor, read_profile, read_signer

__all__ = ["Profile", "RaClient", "read_anchor", "read_profile", "read_signer"]

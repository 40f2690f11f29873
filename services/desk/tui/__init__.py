"""The full-screen desk: a terminal's face of what `ra desk` does, for approvers.

It needs nothing but a client of the approver's own and the approver's key. It holds no authority: the duties judge
what it sends, and what it signs is the digest of the bytes that it shows.
"""

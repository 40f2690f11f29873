"""The policy: who may ask, who must agree, and what may be issued. No I/O."""

"""Evidence: the signed chain from submission to certificate, and how it is verified. No I/O."""

"""Certificate requests, certificates and names, parsed once at the edge. Pure: no I/O and no clock."""

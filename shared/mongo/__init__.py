"""MongoDB: the only room that imports its driver."""

"""The duties of the Registration Authority and the desk: one package, one process each."""

"""How the Registration Authority is put into operation."""

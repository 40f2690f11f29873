"""A local stand-in for DigiCert's Services API v2 that issues real certificates from a throw-away CA."""

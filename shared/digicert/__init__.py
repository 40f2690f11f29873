"""DigiCert's Services API v2, as far as the duties need it; the only room that imports `httpx`."""

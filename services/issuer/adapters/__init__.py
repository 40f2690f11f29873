"""What the issuer talks to: MongoDB and DigiCert."""

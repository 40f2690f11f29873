"""What the revoker talks to: MongoDB and DigiCert."""

"""Everything on one machine, for trying, developing and testing: servers, duties and the DigiCert sandbox.

`install` runs before there is a virtual environment: this file and that one use the standard library only.
"""

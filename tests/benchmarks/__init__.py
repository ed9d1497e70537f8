"""Tessera measured beside its peers: see README.md here, and `make bench`."""

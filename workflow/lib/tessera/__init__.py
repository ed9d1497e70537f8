"""Tessera: the pure modules behind the workflow's scripts.

Modules are nouns. They take arrays and tables and return arrays and tables; only `files`,
`readers`, `digests` and `logs` touch a disk.
"""

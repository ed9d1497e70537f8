"""Checks a folder of results by itself: no Snakemake, no raw data, and nothing of `tessera`.

What made the results must not judge them, so nothing here imports it: tables are read with pandas,
masks are counted by scikit-learn, the graph is walked as it stands in the crate.
"""

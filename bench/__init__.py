"""Benchmarks: ratios within one run against bare primitives and against what else could be used."""

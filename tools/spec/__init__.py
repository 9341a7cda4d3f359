"""Keeps the specification, its machine-readable requirements and its generated tables in step.

``python -m tools.spec`` regenerates, ``python -m tools.spec --check`` only looks.  The form of a
requirement is described in :mod:`tools.spec.chapters`, the generated blocks in :mod:`tools.spec.tables`.
"""

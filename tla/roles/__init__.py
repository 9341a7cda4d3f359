"""Models of terms and roles, and the table of what spoiling a proposal is worth (``bias.py``)."""

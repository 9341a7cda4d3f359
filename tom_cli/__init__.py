"""The ``tom`` command: what a person types to use, watch and inspect ToM."""

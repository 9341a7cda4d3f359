"""The formal models of ToM (TLA+) and the program that runs them (:mod:`tla.runner`)."""

"""Adapters: how a port is attached to the runner."""

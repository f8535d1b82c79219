"""Deterministic steps."""

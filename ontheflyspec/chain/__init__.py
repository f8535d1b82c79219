"""Chains: steps in a row, choices among them, and several features side by side."""

"""Benchmarks that anyone can rerun: ``python -m benchmarks transforms|loader|musicnet|augment|laws``."""

"""Cases of the registry, family by family."""

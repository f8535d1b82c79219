"""Transforms, the deterministic steps: spectra, features, scaling, and ways back to waveforms."""

"""Functions from Tensor (and lengths) to Tensor: no classes, no state."""

"""Files, data sets, samplers, loaders."""

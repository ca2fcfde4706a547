"""The pipeline's stages, one module each; `deploy` runs them in order."""

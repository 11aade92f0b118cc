"""Storage drivers and the root file systems of containers."""

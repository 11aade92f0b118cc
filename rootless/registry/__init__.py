"""The client of the distribution specification."""

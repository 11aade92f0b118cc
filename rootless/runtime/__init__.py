"""The OCI runtime: a bundle becomes a container in two phases, create and start; it never depends on the monitor."""

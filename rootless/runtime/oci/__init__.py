"""The OCI runtime of its own: bundles as they are, made in whatever namespaces and with whatever privileges the caller has."""

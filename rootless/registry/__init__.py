"""Registries: configuration, credentials and certificates of the user, and a client of the OCI distribution spec.

Nothing here knows of images: manifests and blobs are bytes with a digest. Repositories are text, `DOMAIN[:PORT]/PATH`.
"""

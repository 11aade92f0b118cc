"""The container engine: images, storage, namespaces, runtime, containers and networks of one user."""

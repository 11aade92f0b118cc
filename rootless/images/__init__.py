"""Images: references, manifests, the content store, unpacking, pulling and removing (DESIGN section 3)."""

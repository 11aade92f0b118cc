"""Wire formats: bytes to fields and back, on memoryviews, without copies, I/O or meaning."""

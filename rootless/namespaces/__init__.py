"""User namespaces: subordinate IDs, ID maps, the user's parent namespace and workers in it."""

"""One verb a file; each file's `command` is a click command."""

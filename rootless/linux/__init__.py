"""The kernel's interfaces: the only package of the engine with ctypes. Errors are `OSError` with the call and the path."""

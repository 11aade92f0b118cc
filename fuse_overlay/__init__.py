"""The writable union file system in user space, on pyfuse3 under a session loop of its own (DESIGN section 4).

It is executed as `python -I -m fuse_overlay CONTROL_FD` and stands alone: nothing of the engine is imported here. The files are
divided as the kernel's fs/overlayfs: layer (one lower directory), union (lookup), readdir, inodes, files, entries and rename
(dir.c), copy_up, xattrs, whiteouts; ownership, noted and side_files keep owners and modes that the disk does not have; operations
maps FUSE requests to them, session and control serve.
"""

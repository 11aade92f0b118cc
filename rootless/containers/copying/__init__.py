"""Copying trees into and out of a container's root (`rl cp`), as a tar between a process on the node and one at that root.

Theory of operation. A copy has a source and a destination, each either of the node (the user's own process, by the user's own
rights) or of a container (a worker with the container's root open, by the rights of that root's user 0). They are joined by a
pipe, or one of them is standard input or output. What is copied is the member `tree.TOP` of the tar, with what it holds; the
destination decides, by the first member and by what it has under the path it was given, where that goes and under which name.

Every path of a container is resolved below its open root (openat2(2)), every file in the open folder that it lies in, without
following a link: what a container changes meanwhile can lead a copy to other places of that container only.
"""

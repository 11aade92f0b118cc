"""`slirp_net`: a TCP/IP stack in user space that gives a container a private network without privileges.

Theory of operation. The container's side is one Ethernet device, a tap; the host's side is ordinary sockets. `device` reads and
writes frames, `stack` looks at what they carry, `host` holds a socket for every flow, `tcp` speaks TCP (RFC 9293) to the container
without doing any I/O, `wire` knows the formats. One `loop` waits for all of them. Nothing polls: an idle stack sleeps.

What the modules import counts, because a process of these lives as long as its container: no `typing`, `enum`, `json`, `socket`,
`logging` at run time (`typing` alone is 1.8 MiB), but the C modules below them.
"""

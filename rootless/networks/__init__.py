"""Networks: what a container is attached to, and the `slirp_net` process behind it."""

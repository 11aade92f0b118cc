"""The host's side: a socket for every flow, and what the container is told when one fails."""

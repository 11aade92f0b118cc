"""TCP (RFC 9293) without I/O: segments and the time go in, segments, data and events come out.

`states` is the state diagram as tables, `sequence` the arithmetic of sequence numbers, `sending` and `receiving` the two halves of
a connection, `round_trip` its timing, `connection` what ties them together.
"""

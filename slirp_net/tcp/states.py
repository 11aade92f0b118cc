"""The states of a connection (RFC 9293, section 3.3.2) and what moves it from one to another, as tables.

The stack is one end, the container the other. LISTEN is not a state of a connection here: a SYN to anywhere makes one, and it is
HELD, not yet answered, until the socket to the outside has connected; only then is the handshake completed, so that the
container sees a refusal as a refusal.

    state         may send data   may receive data   waits for
    HELD          no              no                 the outside to accept
    SYN_SENT      no              no                 the container to answer our SYN
    SYN_RECEIVED  no              no                 the container to acknowledge our SYN
    ESTABLISHED   yes             yes                data
    FIN_WAIT_1    no              yes                our FIN to be acknowledged
    FIN_WAIT_2    no              yes                the container's FIN
    CLOSING       no              no                 our FIN to be acknowledged
    TIME_WAIT     no              no                 twice the maximum segment lifetime
    CLOSE_WAIT    yes             no                 our end of data
    LAST_ACK      no              no                 our FIN to be acknowledged
    CLOSED        no              no                 nothing: the connection is gone
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CLOSED: Final = 0
HELD: Final = 1
SYN_SENT: Final = 2
SYN_RECEIVED: Final = 3
ESTABLISHED: Final = 4
FIN_WAIT_1: Final = 5
FIN_WAIT_2: Final = 6
CLOSING: Final = 7
TIME_WAIT: Final = 8
CLOSE_WAIT: Final = 9
LAST_ACK: Final = 10

# What becomes of a state when ...
ON_OUR_CLOSE: Final = {ESTABLISHED: FIN_WAIT_1, CLOSE_WAIT: LAST_ACK}
ON_THEIR_FIN: Final = {ESTABLISHED: CLOSE_WAIT, FIN_WAIT_1: CLOSING, FIN_WAIT_2: TIME_WAIT}
ON_OUR_FIN_ACKNOWLEDGED: Final = {FIN_WAIT_1: FIN_WAIT_2, CLOSING: TIME_WAIT, LAST_ACK: CLOSED}

MAY_SEND: Final = frozenset({ESTABLISHED, CLOSE_WAIT})
MAY_RECEIVE: Final = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2})
MAY_KEEP_ALIVE: Final = frozenset({ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT})

# Events, as bits of what Connection's methods return.
OPENED: Final = 1  # the handshake is complete
DATA: Final = 2  # `inbox` has data
ENDED: Final = 4  # the container sent everything it will send
ACKNOWLEDGED: Final = 8  # data was acknowledged or the window moved: there may be room to send
RESET: Final = 16  # the container reset the connection
GONE: Final = 32  # the connection is CLOSED: forget it
TIMED_OUT: Final = 64  # the container does not answer

"""`python ranks.py N -m ambientkit ...`: N processes with the environment that torchrun gives its own, forked rather
than started, so that none of them imports torch again.

Ends with status 1 where one of them fails, as torchrun does, and stops the others.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from tests.support.forked import POSSIBLE, become

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
TWO = (__file__, "2") if POSSIBLE else TORCHRUN
"""Arguments of Python that start a program in two processes, for `tests.support.engine.command`."""


GRACE = 20
"""Seconds that the others have to end by themselves where one has failed."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main(count: int, argv: list[str]) -> None:
    """Returns in each process that it makes as one with rank and program; the first process ends here."""
    world = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0"}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    running = set()
    for rank in range(count):
        if (pid := os.fork()) == 0:
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            return become({"argv": argv, "env": {**os.environ, **world, **own}, "cwd": os.getcwd(), "session": False})
        running.add(pid)
    failed = False
    while running and not failed:
        pid, status = os.wait()
        running.discard(pid)
        failed = status != 0
    deadline = time.monotonic() + GRACE
    for pid in running:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            time.sleep(0.05)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
    sys.exit(int(failed))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

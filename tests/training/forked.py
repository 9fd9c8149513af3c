"""Processes forked from one that has imported everything once, which find each other as torchrun's would."""

import os
import socket
import traceback


def free_port():
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def become(number, size, port):
    """Make this process one of `size` that train together."""
    told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1"}


def codes_of_two(work):
    """Call work(number) in two forked processes that train together; return their exit codes."""
    port, pids = free_port(), []
    for number in range(2):
        pids.append(os.fork())
        if not pids[-1]:
            code = 1
            try:
                become(number, 2, port)
                work(number)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

"""The same as bare_parent.ts, blocking in waitpid(2) without a runtime in between."""

import subprocess
import sys
import time

null = subprocess.DEVNULL
server = subprocess.Popen(
    ["tmux", "-D", "-S", sys.argv[1], "-f", "/dev/null"],
    stdin=null,
    stdout=null,
    stderr=null,
    start_new_session=True,
)
print(server.pid, flush=True)
server.wait()
print(time.time_ns() / 1e6, flush=True)

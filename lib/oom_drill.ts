/**
 * The program of the session in an OOM drill: it puts its own server into a
 * memory cgroup and feeds it until the kernel kills it. It runs as a session's
 * program does, so iapeer itself needs no right to touch cgroups.
 *
 * @module
 */

/** The line that tells that no cgroup could be made, and why. */
export const CANNOT = "CANNOT ";
/** The line that tells that the server is about to be fed. */
export const FEEDING = "FEEDING";

/**
 * $1 the server's socket, $2 a name for the cgroup. The server is the parent
 * of this shell.
 *
 * Tried are cgroup v1's memory hierarchy, then v2 from the root down to the
 * cgroup that the server lives in: root may use the first, a user only one
 * that was delegated to it. What is charged to a process does not move with
 * it, so that the limit bites on new memory only.
 */
const SCRIPT = `
sock=$1 name=$2 server=$PPID
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
why="there is no memory cgroup"
try() {
  [ -d "$1" ] || return 1
  dir=$1/$name
  mkdir "$dir" 2>/dev/null || { why="no right to make $dir"; return 1; }
  if [ -e "$dir/memory.limit_in_bytes" ]; then limit=memory.limit_in_bytes
  elif [ -e "$dir/memory.max" ]; then limit=memory.max
  else why="the memory controller is not enabled in $1"; rmdir "$dir"; return 1; fi
  if { echo 16777216 >"$dir/$limit" && echo "$server" >"$dir/cgroup.procs"; } 2>/dev/null; then
    echo 0 2>/dev/null >"$dir/memory.swap.max" || :
    return 0
  fi
  why="no right to move a process into $dir"; rmdir "$dir"; return 1
}
found=
for top in /sys/fs/cgroup/memory /sys/fs/cgroup /sys/fs/cgroup/unified; do
  if try "$top"; then found=1; break; fi
done
if [ -z "$found" ]; then
  rest=\${own#/} at=/sys/fs/cgroup
  while [ -n "$rest" ]; do
    at=$at/\${rest%%/*}
    case $rest in */*) rest=\${rest#*/} ;; *) rest= ;; esac
    if try "$at"; then found=1; break; fi
  done
fi
if [ -z "$found" ]; then echo "${CANNOT}$why"; exec sleep 60; fi
# When the server is gone, so is the terminal, and with it this shell.
(trap '' HUP; n=0; while ! rmdir "$dir" && [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.05; done) >/dev/null 2>&1 &
echo ${FEEDING}
head -c 268435456 /dev/zero | tmux -S "$sock" load-buffer -
echo "${CANNOT}the server swallowed 256 MiB and lives"
exec sleep 60
`;

/**
 * The command line of the session in an OOM drill.
 *
 * @param sock The server's socket.
 * @param name A name for the cgroup that no other drill uses.
 * @returns What to launch.
 */
export function oomProgram(sock: string, name: string): string[] {
  return ["sh", "-c", SCRIPT, "sh", sock, name];
}

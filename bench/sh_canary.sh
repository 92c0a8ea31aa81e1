#!/bin/sh
# The baseline: what one writes in ten lines of sh. It blocks in `wait-for` until
# the server is gone, then takes a snapshot and appends a line.
#
# usage: sh_canary.sh SOCK CHANNEL SNAPSHOT LOG
#
# The line carries no time and is not synced: every further process would make
# the baseline slower, and it shall not look slower than it has to be.
set -u
export LC_ALL=C
sock=$1
channel=$2
snapshot=$3
log=$4

tmux -S "$sock" wait-for "$channel" 2>/dev/null
rc=$?
ps axo pid,ppid,rss,etime,command | sort -k3,3nr | head -n 26 >"$snapshot"
printf 'ev=server-exit channel=%s wait_rc=%s forensics=%s\n' "$channel" "$rc" "$snapshot" >>"$log"

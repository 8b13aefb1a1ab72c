#!/usr/bin/env bash
# Runs a command and fails when anything that it started outlives it: a process,
# a mount or a network namespace.
#
#   e2e/leftovers.sh COMMAND [ARGUMENT…]
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT

pids() { for p in /proc/[0-9]*; do echo "${p#/proc/}"; done | sort; }
# Mounts of programs are in namespaces of their own; none may show here.
mounts() { awk -v run="$root/.run" '{ if (index($5, run) == 1) print $5 }' /proc/self/mountinfo | sort; }
namespaces() { ls /run/netns /var/run/netns 2>/dev/null | sort -u; }

# Fields 4 and 6 of stat, after the name, which may hold blanks.
stat_of() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null; }
session() { stat_of "$1" | cut -d' ' -f4; }
parent() { stat_of "$1" | cut -d' ' -f2; }
state() { stat_of "$1" | cut -d' ' -f1; }

# ours tells a process that the command started from one of somebody else: it
# has our mark or our session, or it is an orphan that runs from this directory.
ours() {
  local pid=$1 exe
  exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
  [ "$(state "$pid")" = Z ] && return 1
  case "$exe" in */bin/go | */bin/bash | */bin/sed | */bin/sort | */bin/cut) return 1 ;; esac
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "ASTERISM_LEFTOVERS=$mark" && return 0
  [ "$(session "$pid")" = "$our_session" ] && return 0
  [ "$(parent "$pid")" = 1 ] || return 1
  case "$exe" in "$root"/*) return 0 ;; esac
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -e "$root/.run" -e "$root/bin/"
}

left() {
  comm -13 "$before/pids" <(pids) | while read -r pid; do
    ours "$pid" && printf 'process %s: %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-200)"
  done
  comm -13 "$before/mounts" <(mounts) | sed 's/^/mount /'
  comm -13 "$before/namespaces" <(namespaces) | sed 's/^/network namespace /'
}

mark="$$-$RANDOM"
our_session=$(session $$)
pids >"$before/pids"
mounts >"$before/mounts"
namespaces >"$before/namespaces"

ASTERISM_LEFTOVERS=$mark "$@"
status=$?

# What was just told to end may take a moment.
for _ in $(seq 20); do
  found=$(left)
  [ -z "$found" ] && exit "$status"
  sleep 0.5
done
printf 'left behind by %s:\n%s\n' "$*" "$found" >&2
[ "$status" -ne 0 ] && exit "$status"
exit 1

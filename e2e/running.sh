#!/usr/bin/env bash
# Fails when "make run" of this directory is running.
set -euo pipefail
cd "$(dirname "$0")/.."
for file in .run/*.pid; do
  [ -e "$file" ] || continue
  if kill -0 "$(cat "$file")" 2>/dev/null; then
    echo "$(basename "$file" .pid) is running (process $(cat "$file")); end make run first" >&2
    exit 1
  fi
done

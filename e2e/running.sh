#!/usr/bin/env bash
# Fails when "make run" of this directory is running.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -e .run/lock ] || exit 0
if ! flock --nonblock .run/lock true; then
  echo "the platform is running already, in $PWD/.run; end it first" >&2
  exit 1
fi

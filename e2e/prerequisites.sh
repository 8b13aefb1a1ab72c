#!/usr/bin/env bash
# Makes sure that programs are there; installs the Debian packages of the same
# names when they are not.
#
#   e2e/prerequisites.sh PROGRAM…
set -euo pipefail
missing=()
for program in "$@"; do
  command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; install them, or run this as root on Debian or Ubuntu" >&2
  exit 1
fi
echo "installing ${missing[*]}"
packages=("${missing[@]}")
case " ${missing[*]} " in *" gcc "*) packages+=(libc6-dev) ;; esac
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${packages[@]}"; } >&2; then
  echo "could not install ${packages[*]}; is there a network?" >&2
  exit 1
fi

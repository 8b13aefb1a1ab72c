#!/usr/bin/env bash
# Looks for known vulnerabilities in what the program really calls.
#
#   e2e/vuln.sh GOVULNCHECK [DATABASE]
#
# The database is on the network, so this is no part of make test; a copy of it
# works too (make vuln VULNDB=file:///path).
set -uo pipefail
tool=$1 db=${2:-}
out=$("$tool" ${db:+-db "$db"} ./... 2>&1)
status=$?
if [ $status -ne 0 ] && grep -qiE 'fetching vulnerabilities|no such host|dial tcp|connection refused|i/o timeout|Forbidden|Bad Gateway|unexpected HTTP status' <<<"$out"; then
  echo "The vulnerability database cannot be reached, so nothing was checked; give a copy with VULNDB=file:///path, or run this where there is a network." >&2
  exit 1
fi
printf '%s\n' "$out"
exit $status

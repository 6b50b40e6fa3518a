#!/bin/sh
# Installs the Debian packages that the tests use as peers: dcmtk (storescu and its kin) and chromium.
set -eu
missing=""
command -v storescu >/dev/null 2>&1 || missing="$missing dcmtk"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not here:$missing. Tests that need them are skipped (a failure under CI=true)." >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Not here:$missing. Install them with: sudo apt-get install$missing" >&2
    exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing

#!/bin/sh
# Installs the Debian packages that the tests use as peers. No service is started or enabled by it:
# tests start what they need, on ports of their own.
set -eu
missing=""

need() {  # need PACKAGE PROGRAM...: one of the programs must be here
    package=$1
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 && return
    done
    missing="$missing $package"
}

need dcmtk storescu
need libgdcm-tools gdcmscu
need openjph-tools ojph_compress
need orthanc Orthanc /usr/sbin/Orthanc
need chromium chromium
need postgresql postgres /usr/lib/postgresql/*/bin/postgres

[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not here:$missing. Tests that need them are skipped (a failure under CI=true)." >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Not here:$missing. Install them with: sudo apt-get install$missing" >&2
    exit 0
fi

# While this file answers 101, installation scripts must not start a service (Debian policy 9.3.3.2).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
for service in $missing; do
    # Nor at the next start of the machine.
    if [ -e "/etc/init.d/$service" ]; then update-rc.d "$service" disable; fi
done

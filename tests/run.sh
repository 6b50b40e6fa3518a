#!/bin/sh
# Runs the tests in two halves at once: those of faults mostly wait for something to die or to stall.
# Usage: run.sh PYTHON [options of pytest]
set -u
python=$1
shift
log=$(mktemp)
"$python" -m pytest tests/faults "$@" >"$log" 2>&1 &
faults=$!
trap 'kill $faults 2>/dev/null; rm -f "$log"' EXIT INT TERM
"$python" -m pytest --ignore=tests/faults "$@"
others=$?
wait $faults
status=$?
trap - EXIT INT TERM
cat "$log"
rm -f "$log"
nothing_selected=5
[ $others -eq 0 ] || [ $others -eq $nothing_selected ] || exit $others
[ $status -eq 0 ] || [ $status -eq $nothing_selected ] || exit $status
[ $others -eq 0 ] || [ $status -eq 0 ]

#!/bin/sh
# Fetches a Consul for the tests: Debian's own package, from the suite that has it, into target/tools.
#
#   integration/tools/fetch-consul.sh [DIR]      DIR/bin/consul; default: target/tools of this repository
#
# Needs no root. Does nothing where DIR/bin/consul runs.
set -eu

tool=fetch-consul
advice='install Consul yourself and put it on PATH, or name it in WEIR_TEST_CONSUL'
. "$(dirname -- "$0")/debian.sh"

dir=$(tools_dir "${1:-}")
runs() { "$dir/bin/consul" version >/dev/null 2>&1; }
runs && exit 0

open_suite "$dir" bullseye
unpack "$dir/consul" consul
mkdir -p "$dir/bin"
ln -sf ../consul/usr/bin/consul "$dir/bin/consul"
runs || fail "the fetched $dir/bin/consul does not run"
close_suite

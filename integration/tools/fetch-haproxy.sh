#!/bin/sh
# Fetches newer HAProxys for the tests: Debian's own packages, from the suites that have them, into target/tools.
#
#   integration/tools/fetch-haproxy.sh [DIR]     DIR/bin/haproxy-3.0, -3.2; default: target/tools of this repository
#
# They want a newer C library than the system may have, so each comes with all its libraries, and its program is changed
# to start with its own loader. (A script in front of it would not do: a master re-executes itself, and the shell would
# take its signals and its children's ends.) Needs no root. Leaves those alone that run; a suite that has moved on to a
# later branch is taken as it is, under the name of that branch.
set -eu

tool=fetch-haproxy
advice='the tests with this HAProxy are skipped; name one of your own in WEIR_TEST_HAPROXY'
. "$(dirname -- "$0")/debian.sh"

dir=$(tools_dir "${1:-}")
mkdir -p "$dir/bin"

# The branch (3.0) of the program $1; nothing where it does not run.
branch() { "$1" -v 2>/dev/null | sed -n '1s/^HAProxy version \([0-9]*\.[0-9]*\).*/\1/p'; }

# Lets the program of the packages in $1 find loader and libraries there.
relink() {
	for libraries in "$1"/usr/lib/*-linux-gnu*; do :; done
	for loader in "$libraries"/ld-linux*.so.*; do :; done
	"$loader" --library-path "$libraries" "$1/usr/bin/patchelf" --set-interpreter "$loader" \
		--force-rpath --set-rpath "$libraries" "$1/usr/sbin/haproxy" || fail "cannot relink the HAProxy in $1"
}

# Whether the HAProxy of suite $1 is there and runs, with the libraries in this directory: it may be a copy of another.
have() {
	program=$dir/haproxy-$1/usr/sbin/haproxy
	found=$(branch "$program")
	[ -n "$found" ] && grep -Fq "$dir/haproxy-$1/" "$program" && [ -x "$dir/bin/haproxy-$found" ]
}

# Fetches the HAProxy of suite $1.
fetch() {
	have "$1" && return
	open_suite "$dir" "$1"
	# What else Debian lists are tools of an installation, not libraries.
	packages=$(closure haproxy patchelf | grep -E '^(z?lib|haproxy$|patchelf$)') ||
		fail "$uri has no package haproxy in $suite: $(why)"
	unpack "$dir/haproxy-$suite" $packages
	relink "$dir/haproxy-$suite"
	found=$(branch "$dir/haproxy-$suite/usr/sbin/haproxy")
	[ -n "$found" ] || fail "the HAProxy fetched from $suite does not run"
	ln -sf "../haproxy-$suite/usr/sbin/haproxy" "$dir/bin/haproxy-$found"
	close_suite
}

# One that cannot be had keeps nobody from the other. trixie has 3.0, sid 3.2.
failed=0
for each in trixie sid; do
	(fetch "$each") || failed=1
done
exit $failed

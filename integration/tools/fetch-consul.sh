#!/bin/sh
# Fetches a Consul for the tests: Debian's own package, from the suite that has it, into target/tools.
#
#   integration/tools/fetch-consul.sh [DIR]      DIR/bin/consul; default: target/tools of this repository
#
# apt works with lists, cache and state of its own below DIR/apt, from the mirror that the system's own sources
# name; the system's sources and packages stay as they are. Needs no root. Does nothing where DIR/bin/consul runs.
set -eu

suite=bullseye
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
	echo "fetch-consul: $*; install Consul yourself and put it on PATH, or name it in WEIR_TEST_CONSUL" >&2
	exit 1
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
dir=${1:-$here/target/tools}
mkdir -p "$dir" || fail "cannot create $dir"
dir=$(CDPATH='' cd -- "$dir" && pwd -P)

runs() { "$dir/bin/consul" version >/dev/null 2>&1; }
runs && exit 0

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "no apt on this system"
[ -r "$keyring" ] || fail "no $keyring (package debian-archive-keyring)"

# The first Debian archive (or a cloud image's list of mirrors) that the system uses: deb822 files first, then one-line ones.
mirror() {
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -r "$file" ] && sed -n 's/^URIs:[[:space:]]*//p' "$file"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$file" ] && sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' "$file"
	done
}
uri=$(mirror | tr -s '[:space:]' '\n' | grep -E '/(debian/*|mirrors/debian\.list)$' | head -n 1 || true)
[ -n "$uri" ] || fail "the system's apt sources name no Debian mirror"

apt=$dir/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/state" "$apt/download"
cat >"$apt/consul.sources" <<END
Types: deb
URIs: $uri
Suites: $suite
Components: main
Signed-By: $keyring
END
: >"$apt/status"
cat >"$apt/apt.conf" <<END
Dir::State "$apt/state";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "$apt/consul.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END

# The system's apt.conf (a proxy, say) counts; what stands in ours comes after it.
own_apt() { apt-get -qq -c "$apt/apt.conf" "$@"; }
why() { grep -m 1 '^[EW]:' "$apt/log" || tail -n 1 "$apt/log"; }

own_apt update >"$apt/log" 2>&1 || fail "apt-get update of suite $suite from $uri failed: $(why)"
(cd "$apt/download" && own_apt download consul) >"$apt/log" 2>&1 ||
	fail "$uri has no package consul in $suite: $(why)"

rm -rf "$dir/consul"
for package in "$apt/download"/consul_*.deb; do
	dpkg-deb -x "$package" "$dir/consul" || fail "cannot unpack $package"
done
mkdir -p "$dir/bin"
ln -sf ../consul/usr/bin/consul "$dir/bin/consul"
runs || fail "the fetched $dir/bin/consul does not run"

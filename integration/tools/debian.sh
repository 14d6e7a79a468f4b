# Packages of a Debian suite that is not the system's, unpacked below a directory. Sourced by the fetch-*.sh beside it.
#
# apt works with lists, cache and state of its own below DIR/apt/SUITE, from the mirror that the system's own sources
# name; the system's sources and packages stay as they are. Needs no root.
#
# Before: `tool` is what messages begin with, `advice` what they end with.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
	echo "$tool: $*; $advice" >&2
	exit 1
}

# The absolute path of the directory $1, or where it is empty of target/tools in this repository; created.
tools_dir() {
	wanted=${1:-$(dirname -- "$0")/../../target/tools}
	mkdir -p "$wanted" || fail "cannot create $wanted"
	(CDPATH='' cd -- "$wanted" && pwd -P)
}

# The first Debian archive (or a cloud image's list of mirrors) that the system uses: deb822 files first, then one-line ones.
mirror() {
	{
		for file in /etc/apt/sources.list.d/*.sources; do
			[ -r "$file" ] && sed -n 's/^URIs:[[:space:]]*//p' "$file"
		done
		for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ -r "$file" ] && sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' "$file"
		done
	} | tr -s '[:space:]' '\n' | grep -E '/(debian/*|mirrors/debian\.list)$' | head -n 1 || true
}

# Reads the lists of suite $2 below $1/apt; the functions below then work with it.
open_suite() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "no apt on this system"
	[ -r "$keyring" ] || fail "no $keyring (package debian-archive-keyring)"
	uri=$(mirror)
	[ -n "$uri" ] || fail "the system's apt sources name no Debian mirror"
	suite=$2
	apt=$1/apt/$suite
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/state"
	: >"$apt/status"
	write_configuration
	own_apt update >"$apt/log" 2>&1 || fail "apt-get update of suite $suite from $uri failed: $(why)"
}

write_configuration() {
	cat >"$apt/suite.sources" <<-END
	Types: deb
	URIs: $uri
	Suites: $suite
	Components: main
	Signed-By: $keyring
	END
	cat >"$apt/apt.conf" <<-END
	Dir::State "$apt/state";
	Dir::State::Lists "$apt/lists";
	Dir::State::status "$apt/status";
	Dir::Cache "$apt/cache";
	Dir::Etc::SourceList "$apt/suite.sources";
	Dir::Etc::SourceParts "/dev/null";
	Dir::Etc::Preferences "/dev/null";
	Dir::Etc::PreferencesParts "/dev/null";
	APT::Sandbox::User "";
	APT::Install-Recommends "false";
	Acquire::Languages "none";
	Acquire::Retries "2";
	Acquire::http::Timeout "30";
	APT::Update::Error-Mode "any";
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	END
}

# The system's apt.conf (a proxy, say) counts; what stands in ours comes after it.
own_apt() { apt-get -qq -c "$apt/apt.conf" "$@"; }
why() { grep -m 1 '^[EW]:' "$apt/log" || tail -n 1 "$apt/log"; }

# The packages $@ and every package that they need, the C library too: the system counts for nothing here.
closure() {
	own_apt --simulate install "$@" 2>"$apt/log" | sed -n 's/^Inst \([^[:space:]]*\).*/\1/p'
}

# Removes the lists again: they are only good for today.
close_suite() { rm -rf "$apt"; }

# Unpacks the packages $2… into the directory $1, which is emptied before.
unpack() {
	into=$1
	shift
	rm -rf "$into" "$apt/download"
	mkdir -p "$into" "$apt/download"
	(cd "$apt/download" && own_apt download "$@") >"$apt/log" 2>&1 ||
		fail "$uri does not give $* of $suite: $(why)"
	for package in "$apt/download"/*.deb; do
		dpkg-deb -x "$package" "$into" || fail "cannot unpack $package"
	done
	rm -rf "$apt/download"
}

# For GNU make and bmake alike. `make help` says what there is.

CARGO = cargo
FREEBSD = x86_64-unknown-freebsd
TOOLS = target/tools/bin
# The integration tests in which it matters what HAProxy does.
HAPROXY_TESTS = edit:: guard:: lock:: pools:: reload_retry:: rig_itself:: shipped:: runtime:: by_hand:: leaving:: churn:: certificates:: refused:: slots::
# For all fuzz targets together.
FUZZ_SECONDS = 60
# A directory of recorded loads in CSV.
TRACES =
# Runs the command in $1 as root where that is possible without asking; in a subshell, for its exit.
AS_ROOT = if [ "$$(id -u)" = 0 ]; then sh -c "$$1"; elif sudo -n true 2>/dev/null; then sudo -n sh -c "$$1"; else exit 1; fi

.PHONY: all help demo test test-haproxys fuzz lint check-freebsd bench bench-pure bench-scaling bench-watching simulate nomad-client-check tools compiler haproxy haproxys haproxy-doc consul

all: help

help:
	@echo 'make demo                 Consul, Nomad and instances in one process, a real HAProxy, weir on top; ^C ends it'
	@echo 'make test                 all tests, those against the real Consul and HAProxy too'
	@echo 'make test-haproxys        those against HAProxy, with each of its versions that is here'
	@echo 'make fuzz                 feeds the parser what nobody would write, for FUZZ_SECONDS (60)'
	@echo 'make lint                 formatting, and clippy with warnings denied'
	@echo 'make check-freebsd        the same clippy for FreeBSD'
	@echo 'make bench                from a change in Consul to an answer through HAProxy, beside a bare loop and consul-template'
	@echo 'make bench-pure           parse, plan and render, by the number of pools and servers'
	@echo 'make bench-scaling        a step of traffic on a scaled job: late and failed requests, instance-seconds, actions'
	@echo 'make bench-watching       what each way of watching a thousand services costs Consul'
	@echo 'make simulate             Weir against other autoscalers on made loads, and on the traces in TRACES=DIR: docs/simulation.md'
	@echo 'make nomad-client-check   whether the Nomad client is in step with service/nomad/openapi.yaml'
	@echo 'make tools                installs what tests and demo need and is missing'

# The dev profile: its first build takes about two minutes on two cores, and the demo needs no more.
demo: compiler haproxy
	$(CARGO) run -p weir -- demo $(DEMO_ARGS)

test: tools
	$(CARGO) test --workspace

# The installed one and those in $(TOOLS).
test-haproxys: tools
	@set -e; PATH=$$PATH:/usr/sbin:/usr/local/sbin; \
	for binary in "$$(command -v haproxy)" "$$(pwd)/$(TOOLS)"/haproxy-*; do \
		if ! "$$binary" -v >/dev/null 2>&1; then echo "skipped: $$binary does not run" >&2; continue; fi; \
		"$$binary" -v | head -n 1; \
		export WEIR_TEST_HAPROXY="$$binary"; \
		$(CARGO) test -p weir-haproxy --test haproxy; \
		$(CARGO) test -p weir --test integration -- $(HAPROXY_TESTS); \
	done

# On a stable compiler: no crate of ours has unsafe code, so there is nothing for a sanitizer to find. What the
# fuzzer learned stays in target/fuzz/corpus; an input that fails is named, and lies in fuzz/artifacts.
fuzz: compiler
	@if ! command -v c++ >/dev/null 2>&1; then \
		echo 'skipped: no C++ compiler to build libFuzzer with (Debian: apt-get install g++)'; exit 0; fi; \
	root=$$(pwd); PATH="$$root/$(TOOLS):$$PATH"; export PATH; \
	if ! $(CARGO) fuzz --version >/dev/null 2>&1 && \
		! $(CARGO) install --quiet --root target/tools --locked --version 0.13.2 cargo-fuzz; then \
		echo 'skipped: no cargo-fuzz, and it cannot be installed'; exit 0; fi; \
	examples=/usr/share/doc/haproxy/examples; [ -d $$examples ] || examples=; \
	cd service/haproxy-cfg && \
	$(CARGO) fuzz build --sanitizer none --target-dir "$$root/target/fuzz" || exit 1; \
	for target in parse again pools; do \
		corpus="$$root/target/fuzz/corpus/$$target"; mkdir -p "$$corpus"; \
		if ! $(CARGO) fuzz run --sanitizer none --target-dir "$$root/target/fuzz" $$target "$$corpus" $$examples -- \
			-dict=fuzz/haproxy.dict -max_total_time=$$(($(FUZZ_SECONDS) / 3)) >"$$corpus.log" 2>&1; then \
			tail -n 60 "$$corpus.log"; exit 1; fi; \
		echo "$$target: $$(grep '^Done ' "$$corpus.log"), nothing found"; \
	done

lint: compiler
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# Type-checked only, so neither a linker nor a C compiler for FreeBSD is needed.
check-freebsd: compiler
	@if [ "$$(uname -s)" = FreeBSD ]; then echo 'skipped: this is FreeBSD, `make lint` is the same'; exit 0; fi; \
	if ! command -v rustup >/dev/null 2>&1; then echo 'skipped: no rustup to add the target $(FREEBSD) with'; exit 0; fi; \
	if ! rustup target add $(FREEBSD); then echo 'skipped: the target $(FREEBSD) cannot be added'; exit 0; fi; \
	$(CARGO) clippy --workspace --all-targets --target $(FREEBSD) -- -D warnings

bench: tools
	$(CARGO) bench -p weir --bench latency

bench-pure: compiler
	$(CARGO) bench -p weir --bench pure

bench-scaling: tools
	$(CARGO) bench -p weir --bench scaling

bench-watching: tools
	$(CARGO) bench -p weir --bench watching

# Minutes in the release profile, an hour in the other. Traces are no part of the source: give their directory.
simulate: compiler
	set --; if [ -n "$(TRACES)" ]; then set -- --traces "$(TRACES)"; fi; \
	$(CARGO) run --release -p weir -- simulate --suite "$$@" --out docs/simulation.md

# The generator is no member of the workspace: a normal build does not pay for it.
nomad-client-check:
	$(CARGO) run --target-dir target/codegen --manifest-path service/nomad/codegen/Cargo.toml -- --check

tools: compiler haproxy haproxys haproxy-doc consul

# ring compiles some C.
compiler:
	@if command -v cc >/dev/null 2>&1; then exit 0; fi; \
	set -- 'apt-get -qq update && apt-get -qq -y install --no-install-recommends gcc libc6-dev'; \
	if command -v apt-get >/dev/null 2>&1 && ( $(AS_ROOT) ); then exit 0; fi; \
	echo 'weir needs a C compiler: install one (Debian: apt-get install gcc libc6-dev)' >&2; exit 1

# Debian keeps it in /usr/sbin, which is not on everybody's PATH.
haproxy:
	@if command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ] || [ -x /usr/local/sbin/haproxy ]; then exit 0; fi; \
	if command -v apt-get >/dev/null 2>&1; then \
		set -- 'apt-get -qq update && apt-get -qq -y install --no-install-recommends haproxy'; \
	elif command -v pkg >/dev/null 2>&1; then set -- 'pkg install -y haproxy'; \
	else echo 'HAProxy is missing: install it with the package manager of this system' >&2; exit 1; fi; \
	if ( $(AS_ROOT) ); then exit 0; fi; \
	echo "HAProxy is missing: as root, $$1" >&2; exit 1

# Newer ones beside it, where Debian's packages can be had: without them nothing is tested with those versions.
haproxys:
	@sh integration/tools/fetch-haproxy.sh target/tools || echo 'only the installed HAProxy will be tested with' >&2

# Its manuals in HTML: hundreds of snippets that must print as they were. FreeBSD's port has manuals in text only.
haproxy-doc:
	@if ! command -v dpkg >/dev/null 2>&1 || [ -d /usr/share/doc/haproxy/html ]; then exit 0; fi; \
	set -- 'apt-get -qq update && apt-get -qq -y install --no-install-recommends haproxy-doc'; \
	if ( $(AS_ROOT) ); then exit 0; fi; \
	echo 'haproxy-doc is missing, its test will be skipped: as root, apt-get install haproxy-doc' >&2

# Not there on every system: then the tests that need it say that they were skipped.
consul:
	@if command -v consul >/dev/null 2>&1 || [ -x $(TOOLS)/consul ]; then exit 0; fi; \
	if [ "$$(uname -s)" = FreeBSD ]; then set -- 'pkg install -y consul'; ( $(AS_ROOT) ) && exit 0; \
		echo "Consul is missing, its tests will be skipped: as root, $$1" >&2; exit 0; fi; \
	sh integration/tools/fetch-consul.sh target/tools || echo 'the tests that need Consul will be skipped' >&2

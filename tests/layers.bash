# The test layers: budgets, short forms (`short_NAME`) and long forms (`long_NAME`). Sourced by tests/run, which
# executes each layer in a process of its own with `set -e`, at the root of the repository. A layer without a
# long form has only a short one.

all_layers=(format lint licences arrows pages contract unit web simulation build fuzz conformance kill faults apps python node go
  monitoring pressure nginx browsers compose)
# Layers without a short form, for tests/long.
long_layers=(autobahn)
quick_layers=(format lint licences arrows pages contract unit web)

# Seconds on two cores from a clean clone, in the order of all_layers; each includes the builds that the layer is the
# first to need. The sum of the short forms is at most 3,300 s. A layer may take four times as long.
declare -A short_budget=([format]=15 [lint]=270 [licences]=300 [arrows]=10 [pages]=5 [contract]=30 [unit]=480 [web]=120
  [simulation]=390 [build]=270 [fuzz]=190 [conformance]=30 [kill]=90 [faults]=256 [apps]=180 [python]=60 [node]=40 [go]=60
  [monitoring]=40 [pressure]=60 [nginx]=240 [browsers]=200 [compose]=220)
declare -A long_budget=([unit]=3600 [web]=1800 [fuzz]=7200 [simulation]=14400 [build]=2400 [conformance]=600 [kill]=3600
  [faults]=21600 [apps]=1500 [monitoring]=1200 [pressure]=1800 [nginx]=1200 [browsers]=1500 [compose]=3600 [autobahn]=300)

short_format() { cargo fmt --all --check; }

short_lint() {
  need g++ g++ # for libFuzzer, which --all-features includes
  cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
}

# Licences, sources, banned crates, and known vulnerabilities where the database of advisories can be fetched.
short_licences() {
  need_cargo_deny
  cargo deny --all-features check --hide-inclusion-graph bans licenses sources
  tests/advisories
}

# The dependencies between crates that docs/architecture.md excludes.
short_arrows() {
  absent tokio "cargo tree -p minerva-proto -e normal"
  absent redb "cargo tree -p minerva-edge -e normal,build"
  absent tungstenite "cargo tree -p minerva-core -e normal,build"
  absent minerva-core "cargo tree -p minerva-edge -e normal,build"
  absent minerva-edge "cargo tree -p minerva-core -e normal,build"
}

absent() { # CRATE COMMAND: the crate is not in the printed tree
  local tree
  tree=$($2 --prefix none)
  if grep -q "^[a-z-]*$1 v" <<<"$tree"; then
    echo "$1 is in: $2"
    echo "0 passed, 1 failed"
  else
    echo "1 passed, 0 failed"
  fi
}

# Links and paths in the pages lead to files of the repository.
short_pages() { tests/pages; }

# The gRPC contracts follow their rules and keep the promises of the last release: proto/lint/README.md.
short_contract() {
  need_node
  cd proto/lint
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  npm test
}

short_unit() {
  need redis-server redis-server
  need openssl openssl
  need g++ g++
  # The same random cases in each run, so that a change is judged by its own effect.
  PROPTEST_RNG_SEED=1 cargo test --workspace --all-features --quiet --no-fail-fast
}

# Ten runs with other random cases find rare failures.
long_unit() {
  short_unit
  MINERVA_TEST_FAILOVERS=100 cargo test --package minerva-core --test store_redis --quiet failover
  for _ in {2..10}; do cargo test --workspace --all-features --quiet; done
}

short_web() { test_web 10000; }
long_web() { test_web 300000; }

test_web() { # SCHEDULES
  need_node
  cd sdk/web
  npm ci --no-audit --no-fund --loglevel=error
  SCHEDULES=$1 npm test
}

short_simulation() { simulate 100 100 1000; }
long_simulation() { simulate 20000 10000 5000; }

# Built alone: in one command with other crates, its features would be enabled in all programs.
simulate() { # SEEDS ROLLBACK_SEEDS MUTATION_SEEDS: runs without a defect, such with many rollbacks, a search for each mutation
  local processes
  processes=$(nproc)
  cargo build --release --quiet -p minerva-simulation
  {
    local part=$((($1 + processes - 1) / processes)) often=$((($2 + processes - 1) / processes)) i
    for ((i = 0; i < processes; i++)); do
      echo "--first $((1 + i * part)) --seeds $part"
      echo "--first $((1 + i * often)) --seeds $often --rollbacks often"
    done
    target/release/minerva-simulation --list-mutations | sed "s/.*/--mutation & --seeds $3/"
  } | xargs -P "$processes" -L 1 target/release/minerva-simulation
}

# First the programs of `cargo run --release`, then those that only tests need.
short_build() {
  cargo build --release --quiet
  cargo build --release --quiet --bins --examples \
    -p minerva-edge -p minerva-core -p minerva-app -p minerva-conformance -p minerva-faults -p minerva-apps
}

# The profile of the images, all benchmarks and examples, and the documentation.
long_build() {
  short_build
  cargo build --profile dist --quiet -p minerva -p minerva-edge -p minerva-core
  cargo build --release --quiet --workspace --exclude minerva-simulation --bins --examples
  RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
}

# All targets of fuzz/ for 60 s in all, with the dependencies of the layer before. The long form gives each target 10 million
# inputs, and shows that each target detects a planted defect.
short_fuzz() {
  need g++ g++
  fuzz/run --seconds 60
}

long_fuzz() {
  need g++ g++
  fuzz/run --runs 10000000
  fuzz/faults
}

short_conformance() {
  short_build
  target/release/minerva-conformance
}

long_conformance() { for _ in {1..10}; do short_conformance; done; }

short_kill() {
  short_build
  target/release/minerva-faults kill --kills 15 --duration 40
  target/release/minerva-faults kill --target both --kills 6 --duration 20
}

long_kill() {
  short_build
  local target
  for target in standalone core edge both app; do
    target/release/minerva-faults kill --target "$target" --kills 100 --duration 400
  done
}

# A deployment on Redis with all faults at once; then dead directions of sockets, which nothing else ends; then a store
# that is unreachable, and one that is rolled back; then hostile clients; then steps of the store's clock, and damaged
# stores.
short_faults() {
  harm 60s 5s 15s
  need openssl openssl
  # Short measurements on a busy machine vary: only the long form compares them with the limits.
  target/release/minerva-faults hostile --clients 140 --seconds 5s --baseline 2s --healthy 20 --rate 5 --ratio 200 --growth 10
  target/release/minerva-faults half-open --handshakes 300 --seconds 8s
  target/release/minerva-faults poison --deaths message --baseline 2s --seconds 5s --ratio 200
  need gcc gcc
  target/release/minerva-faults clock --streams 20
  target/release/minerva-faults damage --places redis --count 12 --streams 200 --partitions 64 --lanes 1
  # A clean clone has no programs of release 0.1, and their build takes longer than this layer.
  if [ -e "$release_0_1/minerva-faults" ]; then
    target/release/minerva-faults upgrade --from "$release_0_1" --order mixed --pause 1s
  else
    echo "skipped: the upgrade from release 0.1: tests/long faults builds its programs, which are not in $release_0_1"
  fi
}

long_faults() {
  harm 30m 60s 60s
  need openssl openssl
  target/release/minerva-faults hostile
  target/release/minerva-faults hostile --full-store
  need_nginx
  target/release/minerva-faults hostile --through-nginx
  target/release/minerva-faults half-open
  target/release/minerva-faults poison --instances 2
  target/release/minerva-faults poison --instances 3
  target/release/minerva-faults run --duration 30m --store sentinel
  target/release/minerva-faults run --duration 5m --store redb
  target/release/minerva-faults rollback --age 15s
  need gcc gcc
  target/release/minerva-faults clock --steps 6
  upgrade_from_0_1
  upgrade_to_next
  TMPDIR=$(memory_directory) target/release/minerva-faults damage
}

# Memory with 1 GiB of space, which damaged stores need many times a second; or the usual directory.
memory_directory() {
  local free
  free=$(df --output=avail /dev/shm 2>/dev/null | tail -1)
  if [ "${free:-0}" -gt 1048576 ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi
}

# The programs of release 0.1.
release_0_1=target/release-0.1/target/release

# Rolling upgrade from the programs of release 0.1, which are built from the history of the repository; also with
# application instances that stay at release 0.1, and with instances that are upgraded before the servers.
upgrade_from_0_1() {
  local commit=c171d98 from=target/release-0.1
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "skipped: the upgrade from release 0.1: commit $commit is not in this clone"
    return 0
  fi
  if ! [ -e "$release_0_1/minerva-faults" ]; then
    rm -rf "$from"
    mkdir -p "$from"
    git archive "$commit" | tar -x -C "$from"
    (cd "$from" && cargo build --release --quiet -p minerva-core -p minerva-edge -p minerva-faults)
  fi
  local order apps
  for order in roles mixed; do
    target/release/minerva-faults upgrade --from "$release_0_1" --order "$order" --pause 10s
  done
  for apps in earlier later; do
    target/release/minerva-faults upgrade --from "$release_0_1" --apps-are "$apps" --order mixed --pause 10s
  done
}

harm() { # DURATION HALF_OPEN OUTAGE
  need redis-server redis-server
  short_build
  target/release/minerva-faults run --duration "$1"
  target/release/minerva-faults run --duration "$2" --faults client-half-open=2s --transports tcp,websocket
  target/release/minerva-faults outage --seconds "$3"
  target/release/minerva-faults rollback
}

# Forward and back between this version and a build that stands for the next version of the stored form. Until the last
# phases, the version in force is that of this version, so that both write all of its content.
upgrade_to_next() {
  local next=target/next version
  version=$(sed -n 's/^pub const STORED_VERSION: u32 = .* else { \([0-9]*\) };$/\1/p' core/src/state/record/version.rs)
  : "${version:?core/src/state/record/version.rs has another form}"
  mkdir -p "$next"
  MINERVA_NEXT_STORED_VERSION=1 cargo build --release --quiet -p minerva-core
  cp target/release/minerva-core target/release/minerva-edge "$next"
  short_build
  target/release/minerva-faults upgrade --from target/release --core "$next/minerva-core" --stored-version "$version" \
    --phases forward,back,forward,raise,refused
}

# Application services in four languages under kills (three without Go); one with effects in a database, killed at five points; a TCP gateway.
short_apps() { serve 100 20; }
long_apps() { serve 500 200; target/release/minerva-apps qan --store redis --kills 200; for _ in {2..5}; do target/release/minerva-apps parrot --apps "$parrots"; done; }

serve() { # KILLS per point of the ledger, KILLS of questions
  need redis-server redis-server
  need_node
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-program python3-venv
  short_build
  install_parrots
  target/release/minerva-apps parrot --apps "$parrots"
  target/release/minerva-apps parrot --apps "$parrots" --max-version 3
  target/release/minerva-apps ledger --kills "$1"
  target/release/minerva-apps qan --kills "$2"
  target/release/minerva-apps gateway
}

# Installs the SDKs as packages, and the build outputs of the examples, under target/apps.
install_parrots() {
  parrots=rust,python,typescript
  if need_go; then
    (cd sdk/go && GOFLAGS=-buildvcs=false go build -o ../../target/apps/go/ ./examples/parrot)
    parrots+=,go
  fi
  python3 -m venv target/apps/python
  target/apps/python/bin/pip install --quiet --disable-pip-version-check ./sdk/python
  rm -rf target/apps/typescript
  mkdir -p target/apps/typescript
  cp examples/typescript/{.npmrc,package.json,package-lock.json,tsconfig.json,parrot.ts} target/apps/typescript
  (cd sdk/node && npm ci --no-audit --no-fund --loglevel=error && npm pack --silent --pack-destination ../../target/apps/typescript)
  (cd target/apps/typescript && npm ci --no-audit --no-fund --loglevel=error && npm install --no-save --no-audit --no-fund --loglevel=error ./minerva-app-*.tgz && npm run --silent build)
}

# The application SDK in Python: format, lints, types, the generated contract, the vectors, and a running `minerva`.
short_python() {
  need openssl openssl
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-program python3-venv
  short_build
  local bin=$PWD/target/python/bin
  python3 -m venv target/python
  "$bin/pip" install --quiet --disable-pip-version-check './sdk/python[dev]'
  cd sdk/python
  "$bin/ruff" format --check --quiet .
  "$bin/ruff" check --quiet .
  "$bin/mypy" --cache-dir=../../target/python/mypy
  PYTHON=$bin/python ./generate ../../target/python/proto
  diff -r --exclude='__*' src/minerva_app/proto ../../target/python/proto
  PYTHONDONTWRITEBYTECODE=1 "$bin/pytest" -q -p no:cacheprovider | sed -E 's/^([0-9]+) passed in .*/\1 passed, 0 failed/'
}

# The application SDK in TypeScript: types, the vectors, and a running `minerva`.
short_node() {
  need openssl openssl
  need_node
  short_build
  cd sdk/node
  npm ci --no-audit --no-fund --loglevel=error
  npm test
}

# The application SDK in Go: format, lints, the generated contract, the vectors, and a running `minerva`.
short_go() {
  need_go || return 0
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-program python3-venv
  short_build
  # protoc, which grpcio-tools contains.
  python3 -m venv target/go/python
  target/go/python/bin/pip install --quiet --disable-pip-version-check grpcio-tools==1.73.1
  local python=$PWD/target/go/python/bin/python unformatted
  export GOFLAGS=-buildvcs=false MINERVA_BIN=${MINERVA_BIN:-$PWD/target/release}
  cd sdk/go
  go list -m
  unformatted=$(gofmt -l .)
  [ -z "$unformatted" ] || { echo "not formatted by gofmt: $unformatted"; return 1; }
  go mod tidy -diff
  go vet ./...
  go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
  PYTHON=$python ./generate ../../target/go/appv1
  diff -r internal/appv1 ../../target/go/appv1
  go test -race -count=1 -v ./... | awk '
    /^ *--- PASS/ { ok++ } /^ *--- FAIL/ { bad++ } /^ *--- SKIP/ { print "skipped: " $3 }
    !/^ *(=== |--- PASS)/ { print } END { printf "%d passed, %d failed\n", ok, bad }'
}

# The Autobahn test suite against the edge's WebSocket code: docs/protocol.md. The layer `unit` has a short form, edge/tests/rfc6455.rs.
# Built alone: the feature must not be enabled in programs.
long_autobahn() {
  cargo build --release --quiet -p minerva-edge --features echo --example websocket_echo
  tests/autobahn/run target/release/examples/websocket_echo
}

# Alert rules and dashboards, and with faults in a deployment: the alerts that fire.
short_monitoring() {
  need prometheus prometheus
  need promtool prometheus
  need python3 python3
  short_build
  tests/monitoring/run
}

long_monitoring() {
  short_monitoring
  need redis-server redis-server
  need_node
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-program python3-venv
  python3 -m venv target/monitoring
  target/monitoring/bin/pip install --quiet --disable-pip-version-check ./sdk/python
  MINERVA_PYTHON=target/monitoring/bin/python tests/monitoring/drill
}

short_pressure() {
  short_build
  target/release/minerva-faults pressure --megabytes 24
}

long_pressure() {
  short_build
  local transport
  for transport in websocket tcp http-stream long-poll; do
    target/release/minerva-faults pressure --megabytes 200 --client-rate 1 --app-rate 1 --transport "$transport"
  done
}

# The proxies of deploy/ and edges without a proxy, with native processes; and the manifests of deploy/.
short_nginx() {
  need_nginx
  need redis-server redis-server
  need curl curl
  need openssl openssl
  need haproxy haproxy
  need caddy caddy
  python3 -c 'import yaml' 2>/dev/null || need no-such-program python3-yaml
  short_build
  tests/compose/manifests
  tests/compose/native
  tests/compose/recipes
}

long_nginx() { for _ in {1..5}; do short_nginx; done; }

# The web client in browsers, and in Node.js, Deno and Bun.
short_browsers() {
  need chromium chromium
  need firefox-esr firefox-esr
  need_node
  short_build
  cd tests/runtimes
  # Meanwhile, because the packages are large. The tests skip runtimes whose optional package cannot be installed.
  npm ci --no-audit --no-fund --loglevel=error &
  local installed=$!
  export MINERVA_BIN=../../target/release/minerva
  cd ../browsers
  npm ci --no-audit --no-fund --loglevel=error
  SCREENSHOT=${SCREENSHOT:-../../target/tests/page.png} npm test
  cd ../runtimes
  wait "$installed"
  npm test
}

# Also 1,000 page loads of sessions, and 16 bad networks in both browsers, with measurements in a table.
long_browsers() {
  for _ in 1 2; do (SWITCH_SECONDS=120 RELOADS=170 RENEWAL_SECONDS=60 RENEWAL_STREAMS=12 short_browsers); done
  cd tests/browsers
  MINERVA_BIN=../../target/release/minerva NETWORKS_SECONDS=80 node --test --test-reporter=spec networks.test.mjs
}

# Skipped without a Docker engine.
short_compose() {
  tests/compose/run --engine || return 0
  need chromium chromium
  need_node
  short_build
  (cd tests/browsers && npm ci --no-audit --no-fund --loglevel=error)
  tests/compose/run
}

# Twice from prebuilt programs, then once with images that are compiled from source.
long_compose() {
  tests/compose/run --engine || return 0
  short_compose
  short_compose
  tests/compose/source
}

# need COMMAND PACKAGES: installs Debian packages if the command is missing.
need() {
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" -ne 0 ]; then
    echo "$1 is missing. Install it: sudo apt-get install $2" >&2
    return 1
  fi
  [ -n "${apt_updated:-}" ] || apt-get update -qq >/dev/null
  apt_updated=1
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $2 >/dev/null
}

# nginx with the stream module, which raw TCP needs and nginx may lack.
need_nginx() {
  need nginx "nginx libnginx-mod-stream"
  nginx -V 2>&1 | grep -Eq -- '--with-stream( |$)' ||
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || need no-such-program libnginx-mod-stream
}

# The web client's tests need the WebSocket of Node 20.
need_node() {
  need node nodejs
  need npm npm
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  if [ "$major" -lt 20 ]; then
    echo "node $(node --version) is too old. Install version 20 or later (Debian 13 has one)." >&2
    return 1
  fi
}

# Go 1.25 or later, which Debian 12 and 13 do not have: the layer is skipped without. A downloaded toolchain does not count.
need_go() {
  export GOTOOLCHAIN=local
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
  local version
  version=$(go env GOVERSION 2>/dev/null) || version=none
  [ "$(printf '%s\n' 1.25 "${version#go}" | sort -V | head -n 1)" = 1.25 ] && [ "$version" != none ] && return
  echo "skipped: go ≥ 1.25 (found: $version)"
  return 1
}

need_cargo_deny() { cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked --quiet; }

#!/usr/bin/env bash
# A throw-away Postgres for tests and benchmarks: loopback, a free port, a temporary directory, nothing kept.
#
#   scripts/test-postgres.sh run -- CMD…   run CMD with KILLGATE_TEST_DATABASE_URL set (to one of its own
#                                          where it is not set already), then stop the cluster
#   scripts/test-postgres.sh start         start one and print its URL and directory
#   scripts/test-postgres.sh halt DIR      stop the one in DIR at once, as a crash would
#   scripts/test-postgres.sh resume DIR    start it again where it was
#   scripts/test-postgres.sh stop DIR      stop it and remove it
#   scripts/test-postgres.sh pool URL MODE start a PgBouncer before that database and print its URL and directory
#   scripts/test-postgres.sh unpool DIR    stop it and remove it
#
# With KILLGATE_TEST_DURABLE=1 it keeps its promises, as one in production does: fsync, full_page_writes and
# synchronous_commit are on. Its directory, below TMPDIR, should then be on a disk. Without that it is as quick as it can.
#
# Where no Postgres or PgBouncer is installed and this runs as root on a Debian, it is installed with apt-get.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

find_bin() {
    local dir
    for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) \
        "$(dirname "$(readlink -f "$(command -v initdb || echo /)")")"; do
        if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/postgres" ]; then
            echo "$dir"
            return
        fi
    done
    return 1
}

if ! BIN=$(find_bin); then
    install postgresql
    BIN=$(find_bin)
fi

# Postgres refuses to run as root.
as_owner() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
        return
    fi
    local user=nobody
    if id -u postgres >/dev/null 2>&1; then user=postgres; fi
    if command -v setpriv >/dev/null; then
        setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
    else
        runuser -u "$user" -- "$@"
    fi
}

start() {
    DIR=$(as_owner mktemp -d "${TMPDIR:-/tmp}/killgate-postgres.XXXXXX")
    local password="only-for-tests-$RANDOM$RANDOM"
    echo "$password" | as_owner tee "$DIR/password" >/dev/null
    # C.UTF-8 and no sync: quick to make, quick to run, gone afterwards.
    as_owner env -C "$DIR" "$BIN/initdb" --pgdata="$DIR/data" --username=killgate --pwfile="$DIR/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$DIR.log" 2>&1 ||
        { cat "$DIR.log" >&2; exit 1; }
    local settings="-c fsync=off -c full_page_writes=off"
    if [ "${KILLGATE_TEST_DURABLE:-0}" = 1 ]; then
        settings="-c fsync=on -c full_page_writes=on -c synchronous_commit=on"
        if [ "$(stat -f -c %T "$DIR")" = tmpfs ]; then
            echo "test-postgres: $DIR is in memory, so nothing is durable; set TMPDIR" >&2
        fi
    fi
    echo "$settings" | as_owner tee "$DIR/settings" >/dev/null
    local port try
    for try in 1 2 3 4 5; do
        port=$(free_port)
        echo "$port" | as_owner tee "$DIR/port" >/dev/null
        if resume "$DIR"; then
            URL="postgres://killgate:$password@127.0.0.1:$port/postgres"
            return
        fi
    done
    cat "$DIR/log" >&2
    exit 1
}

resume() {
    as_owner env -C "$1" "$BIN/pg_ctl" start --silent --wait --timeout=300 --pgdata="$1/data" --log="$1/log" \
        --options="-c listen_addresses=127.0.0.1 -c port=$(cat "$1/port") -c unix_socket_directories='' \
        -c max_connections=400 $(cat "$1/settings")" >/dev/null 2>&1 </dev/null
}

halt() {
    as_owner env -C "$1" "$BIN/pg_ctl" stop --silent --mode=immediate --pgdata="$1/data" >/dev/null 2>&1
}

stop() {
    halt "$1" || true
    rm -rf "$1" "$1.log"
}

pool() {
    if ! [ -x /usr/sbin/pgbouncer ] && ! command -v pgbouncer >/dev/null; then
        install pgbouncer
    fi
    local user password host port database try
    [[ $1 =~ ^postgres(ql)?://([^:@]+):([^@]+)@([^:/]+):([0-9]+)/([^?]+) ]] || exit 2
    user=${BASH_REMATCH[2]} password=${BASH_REMATCH[3]} host=${BASH_REMATCH[4]} port=${BASH_REMATCH[5]}
    database=${BASH_REMATCH[6]}
    DIR=$(as_owner mktemp -d "${TMPDIR:-/tmp}/killgate-pgbouncer.XXXXXX")
    for try in 1 2 3 4 5; do
        PORT=$(free_port)
        as_owner tee "$DIR/pgbouncer.ini" >/dev/null <<INI
[databases]
$database = host=$host port=$port dbname=$database user=$user password=$password
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $PORT
auth_type = any
pool_mode = $2
ignore_startup_parameters = extra_float_digits
unix_socket_dir =
logfile = $DIR/log
pidfile = $DIR/pid
INI
        as_owner env -C "$DIR" PATH="$PATH:/usr/sbin" pgbouncer -q -d "$DIR/pgbouncer.ini" >/dev/null 2>&1 </dev/null || continue
        local wait
        for wait in $(seq 300); do
            if [ -s "$DIR/pid" ] && (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
                echo "postgres://$user:x@127.0.0.1:$PORT/$database"
                echo "$DIR"
                return
            fi
            sleep 0.1
        done
    done
    cat "$DIR/log" >&2
    exit 1
}

unpool() {
    kill "$(cat "$1/pid")" 2>/dev/null || true
    rm -rf "$1"
}

case "${1:-}" in
pool)
    pool "${2:?a URL}" "${3:?a pool_mode}"
    ;;
unpool)
    unpool "${2:?the directory that pool printed}"
    ;;
run)
    shift
    if [ "${1:-}" = -- ]; then shift; fi
    if [ -n "${KILLGATE_TEST_DATABASE_URL:-}" ]; then exec "$@"; fi
    start
    trap 'stop "$DIR"' EXIT
    trap 'exit 130' INT TERM
    KILLGATE_TEST_DATABASE_URL=$URL "$@"
    ;;
start)
    start
    echo "$URL"
    echo "$DIR"
    ;;
halt | resume | stop)
    "$1" "${2:?the directory that start printed}"
    ;;
*)
    sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

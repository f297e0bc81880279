#!/bin/sh
# Read secrets from files: NAME_FILE=/run/secrets/name sets NAME for the command that follows.
set -eu

for name in \
    CVAT_ACCESS_TOKEN CVAT_PASSWORD CVAT_FLOWS_WEBHOOK_SECRET REDIS_PASSWORD \
    PREFECT_API_AUTH_STRING PREFECT_SERVER_API_AUTH_STRING PREFECT_SERVER_DATABASE_PASSWORD
do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        if [ ! -r "$file" ]; then
            echo "the secret file ${name}_FILE=$file cannot be read" >&2
            exit 1
        fi
        export "$name=$(cat "$file")"
        unset "${name}_FILE"
    fi
done

# Prefect wants Redis as URLs. The password is part of them, so it must not need escaping.
if [ -n "${REDIS_HOST:-}" ]; then
    case "${REDIS_PASSWORD:-}" in
        *[!A-Za-z0-9_.~-]*)
            echo "REDIS_PASSWORD may contain only letters, digits and _ . ~ -" >&2
            exit 1
            ;;
    esac
    url="redis://default:${REDIS_PASSWORD:-}@${REDIS_HOST}:${REDIS_PORT:-6379}"
    export PREFECT_REDIS_MESSAGING_URL="$url/0"
    export PREFECT_SERVER_DOCKET_URL="$url/1"
    unset REDIS_PASSWORD
fi

exec "$@"

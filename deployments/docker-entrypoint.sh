#!/bin/sh
# Secrets come as files: NAME_FILE=/run/secrets/name becomes NAME, for this process alone.
set -eu

for name in \
    CVAT_ACCESS_TOKEN CVAT_PASSWORD CVAT_FLOWS_WEBHOOK_SECRET REDIS_PASSWORD \
    PREFECT_API_AUTH_STRING PREFECT_SERVER_API_AUTH_STRING PREFECT_SERVER_DATABASE_PASSWORD
do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        if [ ! -r "$file" ]; then
            echo "the secret ${name}_FILE=$file cannot be read" >&2
            exit 1
        fi
        export "$name=$(cat "$file")"
        unset "${name}_FILE"
    fi
done

# Prefect takes Redis as addresses. The password is part of them, so it must not need escaping.
if [ -n "${REDIS_HOST:-}" ]; then
    case "${REDIS_PASSWORD:-}" in
        *[!A-Za-z0-9_.~-]*)
            echo "the Redis password may hold letters, digits and _ . ~ - only" >&2
            exit 1
            ;;
    esac
    address="redis://default:${REDIS_PASSWORD:-}@${REDIS_HOST}:${REDIS_PORT:-6379}"
    export PREFECT_REDIS_MESSAGING_URL="$address/0"
    export PREFECT_SERVER_DOCKET_URL="$address/1"
    unset REDIS_PASSWORD
fi

exec "$@"

#!/bin/sh
# Makes what docker-compose.yml takes from ./secrets, where it is not there: `sh infra/compose/make-secrets.sh`. Never commit that folder.
set -eu
cd "$(dirname "$0")/../.."
umask 077
mkdir -p secrets
chmod 711 secrets
NOBODY=http://127.0.0.1:9099/alerts
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
for name in database-password postgres-password blobs-secret grafana-password; do
    [ -s "secrets/$name" ] || random > "secrets/$name"
done
# Whom Alertmanager tells: the webhook of a pager, a chat or of tickets. It often holds a token.
[ -s secrets/alerts-url ] || printf '%s' "${PARVIS_ALERTS_URL:-$NOBODY}" > secrets/alerts-url
[ "$(cat secrets/alerts-url)" != "$NOBODY" ] || echo "nobody is told of alerts: put the address of your webhook into secrets/alerts-url"
if [ ! -s secrets/s3.json ]; then
    printf '{"identities": [{"name": "parvis", "credentials": [{"accessKey": "parvis", "secretKey": "%s"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' \
        "$(cat secrets/blobs-secret)" > secrets/s3.json
fi
# Compose mounts them with the mode that they have here, and each container runs as a user of its own.
chmod 444 secrets/*
echo "secrets/ holds: $(ls secrets | tr '\n' ' ')"

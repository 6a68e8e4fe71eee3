#!/bin/sh
# Makes what docker-compose.yml takes from ./secrets, where it is not there: `sh infra/compose/make-secrets.sh`. Never commit that folder.
# PARVIS_MESSAGING_SERVER_NAME is what Matrix ids end in: chosen once, and the same for compose.
set -eu
cd "$(dirname "$0")/../.."
umask 077
mkdir -p secrets
chmod 711 secrets
NOBODY=http://127.0.0.1:9099/alerts
server_name=${PARVIS_MESSAGING_SERVER_NAME:-localhost}
random() { head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# Whole or not at all.
keep() { cat > "secrets/$1.draft" && mv "secrets/$1.draft" "secrets/$1"; }
for name in database-password postgres-password metrics-password blobs-secret grafana-password synapse-password; do
    [ -s "secrets/$name" ] || random | keep "$name"
done
# Whom Alertmanager tells: the webhook of a pager, a chat or of tickets. It often holds a token.
[ -s secrets/alerts-url ] || printf '%s' "${PARVIS_ALERTS_URL:-$NOBODY}" > secrets/alerts-url
[ "$(cat secrets/alerts-url)" != "$NOBODY" ] || echo "nobody is told of alerts: put the address of your webhook into secrets/alerts-url"
if [ ! -s secrets/s3.json ]; then
    keep s3.json <<END
{"identities": [{"name": "parvis", "credentials": [{"accessKey": "parvis", "secretKey": "$(cat secrets/blobs-secret)"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
fi
case $server_name in
    *[!A-Za-z0-9.:-]*) echo "PARVIS_MESSAGING_SERVER_NAME=$server_name: letters, digits, dots, hyphens and a port" >&2; exit 2 ;;
esac
if [ -s secrets/synapse.yaml ] && ! grep -qxF "server_name: \"$server_name\"" secrets/synapse.yaml; then
    echo "secrets/synapse.yaml is of $(grep '^server_name:' secrets/synapse.yaml), not of $server_name: another name is another homeserver" >&2
    exit 2
fi
# As `parvis messaging registration` makes it: the tokens by which messaging and Synapse know each other.
if [ ! -s secrets/registration.json ]; then
    escaped=$(printf %s "$server_name" | sed 's/[.-]/\\\\&/g')
    keep registration.json <<END
{
 "id": "parvis",
 "url": "http://messaging:8080",
 "as_token": "$(hex 32)",
 "hs_token": "$(hex 32)",
 "sender_localpart": "parvis",
 "rate_limited": false,
 "io.element.msc4190": true,
 "namespaces": {
  "users": [{"exclusive": true, "regex": "@_parvis_.*:$escaped"}],
  "aliases": [{"exclusive": true, "regex": "#_parvis_.*:$escaped"}],
  "rooms": []
 }
}
END
fi
[ -s secrets/synapse-signing.key ] || echo "ed25519 a_$(hex 2) $(head -c 32 /dev/urandom | base64 | tr -d '=\n')" | keep synapse-signing.key
# Beside infra/synapse/homeserver.yaml: what is of this installation alone.
if [ ! -s secrets/synapse.yaml ]; then
    keep synapse.yaml <<END
server_name: "$server_name"
listeners:
  - {port: 8008, type: http, x_forwarded: true, bind_addresses: ["0.0.0.0"], resources: [{names: [client]}]}
  - {port: 9090, type: metrics, bind_addresses: ["0.0.0.0"]}
enable_metrics: true
database:
  name: psycopg2
  args: {host: postgres, port: 5432, dbname: synapse, user: synapse, password: "$(cat secrets/synapse-password)", cp_min: 5, cp_max: 10}
media_store_path: /matrix-media
log_config: /etc/parvis/synapse/log.yaml
signing_key_path: /run/secrets/synapse-signing.key
macaroon_secret_key: "$(hex 32)"
form_secret: "$(hex 32)"
app_service_config_files: [/run/secrets/registration.json]
modules:
  - {module: parvis_app_passwords.AppPasswords, config: {registration: /run/secrets/registration.json}}
END
fi
# Compose mounts them with the mode that they have here, and each container runs as a user of its own.
chmod 444 secrets/*
echo "secrets/ holds: $(ls secrets | tr '\n' ' ')"

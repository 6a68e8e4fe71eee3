#!/bin/sh
# Synapse's role and database, apart from Parvis' own: PostgreSQL's container runs this once, when its volume is new. On one that is there
# already: `docker compose exec postgres sh /docker-entrypoint-initdb.d/synapse.sh`.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\set password `cat /run/secrets/synapse-password`
CREATE ROLE synapse LOGIN PASSWORD :'password';
CREATE DATABASE synapse OWNER synapse ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0;
REVOKE ALL ON DATABASE synapse FROM PUBLIC;
SQL

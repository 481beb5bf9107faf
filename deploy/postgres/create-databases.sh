#!/bin/sh
# Gives each service a database of its own: an owner that migrates it, an application role that can't, and a reader.
set -eu
for service in projects approvals risks reporting projections; do
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set service="$service" --set owner="${service}_owner" --set app="${service}_app" --set reader="${service}_reader" \
    --set owner_password="$GOV_OWNER_PASSWORD" --set app_password="$GOV_APP_PASSWORD" \
    --set reader_password="$GOV_READER_PASSWORD" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"app" LOGIN PASSWORD :'app_password';
CREATE ROLE :"reader" LOGIN PASSWORD :'reader_password';
CREATE DATABASE :"service" OWNER :"owner";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"service" TO :"app", :"reader";
\connect :"service"
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO :"owner";
GRANT USAGE ON SCHEMA public TO :"app";
SQL
done

#!/bin/sh
# Run by the image of Postgres while its volume is empty: one role owns the record, another serves.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --set owner="$(cat /run/secrets/owner)" --set serving="$(cat /run/secrets/serving)" <<'SQL'
CREATE ROLE killgate_owner LOGIN PASSWORD :'owner';
CREATE ROLE killgate LOGIN PASSWORD :'serving';
CREATE DATABASE killgate OWNER killgate_owner;
SQL

#!/usr/bin/env bash
# Makes the database HAM3D_DB_NAME, where it is not there, and loads the example catalogue into it. Tables that are there
# already are left alone, with an error.
set -euo pipefail
cd "$(dirname "$0")"

: "${HAM3D_DB_USER:?must be set: a user who may create tables}"
: "${HAM3D_DB_NAME:?must be set: the database to load into}"
case "$HAM3D_DB_NAME" in *[!A-Za-z0-9_]*)
    echo "HAM3D_DB_NAME must be letters, figures and _ alone" >&2
    exit 2
    ;;
esac
client=$(command -v mariadb || command -v mysql) || {
    echo "the mariadb client is missing (Debian: apt-get install mariadb-client)" >&2
    exit 1
}

# In the environment the password is not seen in the list of processes.
MYSQL_PWD=${HAM3D_DB_PASSWORD:-} "$client" --protocol=tcp --host="${HAM3D_DB_HOST:-127.0.0.1}" \
    --port="${HAM3D_DB_PORT:-3306}" --user="$HAM3D_DB_USER" --default-character-set=utf8mb4 < <(
    echo "CREATE DATABASE IF NOT EXISTS \`$HAM3D_DB_NAME\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; USE \`$HAM3D_DB_NAME\`;"
    cat schema.sql seed.sql
)
echo "loaded the example catalogue into $HAM3D_DB_NAME"

#!/bin/sh
# `claude-container login`, in a container with nothing mounted: are the hosts there that
# it takes, then `claude setup-token` on a terminal on which nothing wraps.
set -u
columns=$1 rows=$2
shift 2
here=/run/claude-container
if [ -s "$here/ca.crt" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "$here/ca.crt" >"$here/bundle.crt"
    export NODE_EXTRA_CA_CERTS="$here/ca.crt" CURL_CA_BUNDLE="$here/bundle.crt"
fi
# Better said now than after signing in. Any answer will do.
if command -v curl >/dev/null; then
    for host in "$@"; do
        curl --silent --show-error --head --max-time 20 --output /dev/null "https://$host/" || {
            echo "$host"
            exit 97
        }
    done
fi
stty cols "$columns" rows "$rows"
exec claude setup-token

#!/bin/sh
# What of all that a session needs is in this image: a line "name=value" for each thing,
# with no value for one that is missing. Runs as root, offline, with nothing mounted.
image_path=$PATH
where() { (PATH=$image_path && command -v "$1"); }
echo "ld_library_path=${LD_LIBRARY_PATH:-}"
echo "ld_preload=${LD_PRELOAD:-}"
echo "ld_audit=${LD_AUDIT:-}"
echo "claude=$(where claude)"
echo "bash=$(where bash)"
echo "git=$(where git)"
# busybox has a ps and a setpriv, too, that do not know what claude and we ask of them.
echo "ps=$( (PATH=$image_path && ps -o lstart= -p $$) >/dev/null 2>&1 && where ps)"
# In here only of our own image: another's claude may be any program.
[ "$1" != ours ] || echo "version=$(claude --version)"

for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/cert.pem /etc/ssl/ca-bundle.pem; do
    [ ! -s "$bundle" ] || echo "certificates=$bundle"
done

# musl's loader may lie beside glibc's, and an imitation of glibc's beside musl's.
for loader in /lib/ld-musl-*.so.1; do
    [ ! -e "$loader" ] || echo libc=musl
done
for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
    case $(readlink -f "$loader" 2>/dev/null) in *musl* | *gcompat*) continue ;; esac
    [ ! -e "$loader" ] || echo libc=glibc
done
# shellcheck disable=SC2046
set -- $(getconf GNU_LIBC_VERSION 2>/dev/null)
echo "glibc=${2:-}"

# The rest is root's: what the entrypoint calls.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
image_path=$PATH
echo "setpriv=$(setpriv --version >/dev/null 2>&1 && where setpriv)"
lacks=
for program in cat chmod chown find grep id ln ls mkdir readlink rm sed sleep stat tail touch; do
    command -v "$program" >/dev/null || lacks="$lacks $program"
done
echo "lacks=$lacks"

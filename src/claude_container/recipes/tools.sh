#!/bin/sh
# Fill a tool volume with what another image may lack: claude, and the setpriv, bash and
# ps of this one. These bring their libraries and their own loader, so that they need
# nothing but the kernel and a /bin/sh. `whole` is made last, and says that all is there.
set -eu
umask 022
here=/opt/claude-container
cd "$here"
mkdir -p bin lib first
cp "$(command -v claude)" bin/claude

libraries() { ldd "$1" 2>/dev/null | grep -o '/[^ ]*'; }
for program in setpriv bash ps; do
    path=$(readlink -f "$(command -v "$program")")
    cp "$path" "lib/$program"
    libraries "$path" >>lib/list
    cat >"bin/$program" <<PROGRAM
#!/bin/sh
exec $here/lib/ld.so --library-path $here/lib --argv0 "\$0" $here/lib/$program "\$@"
PROGRAM
    chmod 755 "bin/$program"
done
# claude's own libraries are for images without a libc. Of one for musl ldd says nothing.
libraries bin/claude >>lib/list || :
while read -r library; do
    cp "$library" lib/
    case $library in
        */ld-linux*) loader=$library ;;
        */libc.so.*) libc=${library%/*} ;;
    esac
done <lib/list
rm lib/list
cp "$loader" lib/ld.so
# Where programs look for the two.
printf '%s\n' "$loader" "$libc" >libc
# claude asks its ps for more than busybox's knows, so this one comes first on the PATH.
ln -s ../bin/ps first/ps
sync bin/* lib/*
# Nobody in a session has this uid, so that nobody there can write it.
chown -R 1:1 "$here"
: >whole
chown 1:1 whole

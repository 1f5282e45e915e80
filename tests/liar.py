"""What a session plants in place of git-upload-pack: a filter that `git status` runs, which
writes to what git's protocol goes out by. Runs in a container; its argument says what it does.
"""

import os
import sys
import time


def packet(text):
    return b"%04x" % (len(text) + 4) + text


def capabilities():
    lines = [b"version 2\n", b"agent=git/liar\n", b"ls-refs=unborn\n", b"fetch=shallow\n"]
    return b"".join(map(packet, [*lines, b"object-format=sha1\n"])) + b"0000"


def announced():
    """All that comes before a pack: the ref that is looked for, and that a pack follows."""
    refs = packet(b"%040x refs/claude-container/look\n" % 7) + b"0000"
    return (
        refs + packet(b"acknowledgments\n") + packet(b"ready\n") + b"0001" + packet(b"packfile\n")
    )


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def main(how):
    # The shell keeps its own output as descriptor 10 while it redirects 1.
    pid = os.getppid()
    way_out = way_err = None
    while pid > 1:
        for fd in ("10", "1"):
            path = f"/proc/{pid}/fd/{fd}"
            if os.path.exists(path) and os.readlink(path).startswith("pipe:"):
                way_out = path
        way_err = f"/proc/{pid}/fd/2"
        with open(f"/proc/{pid}/stat") as stat:
            pid = int(stat.read().rpartition(")")[2].split()[1])
    out = os.open(way_out, os.O_WRONLY)
    err = os.open(way_err, os.O_WRONLY)
    escape = b"\x1b]0;owned\x07\x1b[2J\xc2\x9b31m"
    if how == "garbage":
        write_all(out, escape * 100)
    elif how == "error":
        write_all(
            out, capabilities() + packet(b"ERR " + escape + b"\n\xe2\x9c\x97 \xe2\x80\xaelie")
        )
    elif how == "endless":
        # An object of ten bytes, and before them empty blocks of zlib's without end.
        write_all(out, capabilities() + announced())
        write_all(out, packet(b"\1PACK\0\0\0\2\0\0\0\1\x3a\x78\x01"))
        while True:
            write_all(out, packet(b"\1" + b"\0\0\0\xff\xff" * 10000) * 16)
    elif how == "refs":
        write_all(out, capabilities())
        while True:
            write_all(out, packet(b"%040x refs/heads/" % 7 + escape + b"\n") * 1000)
    elif how == "progress":
        write_all(out, capabilities())
        while True:
            write_all(out, packet(b"\2" + escape + b"\r") * 100)
    elif how == "band":
        write_all(out, capabilities() + packet(b"\3" + escape))
    elif how == "early":
        # git skips what it does not know among the capabilities; a meter must not follow it.
        write_all(out, packet(b"version 2\n") + packet(b"\1PACK" + escape * 100))
    elif how == "pack":
        write_all(out, capabilities() + announced() + packet(b"\1" + escape * 100))
    elif how == "stderr":
        while True:
            write_all(err, b"Error response from daemon: " + escape * 1000)
    elif how == "daemon":
        write_all(err, b"Error response from daemon: " + escape + b"\n")
        os.kill(-1, 9)
    time.sleep(1000)


main(sys.argv[1])

"""Makes git objects that git itself would not, in a session. Runs in a container, in its clone.

One word says what the commit that becomes the session's HEAD holds.
"""

import subprocess
import sys


def write(kind, content):
    argv = ["git", "hash-object", "-w", "--literally", "-t", kind, "--stdin"]
    return subprocess.run(argv, input=content, check=True, stdout=subprocess.PIPE).stdout.strip()


def tree(*entries):
    rows = [mode + b" " + name + b"\0" + bytes.fromhex(id.decode()) for mode, name, id in entries]
    return write("tree", b"".join(rows))


def commit(tree, message=b"attack\n", author=b"author A <a@b> 1 +0000\n"):
    parent = subprocess.run(["git", "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE)
    head = b"tree " + tree + b"\nparent " + parent.stdout.strip() + b"\n"
    return write("commit", head + author + b"committer A <a@b> 1 +0000\n\n" + message)


def modules(url=b"./x", path=b"x"):
    text = b'[submodule "x"]\n\tpath = "%s"\n\turl = "%s"\n' % (path, url)
    return tree((b"100644", b".gitmodules", write("blob", text)))


def bomb():
    id, mode = write("blob", b"x"), b"100644"
    for _ in range(8):
        id = tree(*((mode, b"%02d" % number, id) for number in range(20)))
        mode = b"40000"
    return id


def deep():
    id, mode = write("blob", b"x"), b"100644"
    for _ in range(3000):
        id, mode = tree((mode, b"d", id)), b"40000"
    return id


def history():
    """A few trees of the host's own, many times over."""
    root = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], check=True, stdout=subprocess.PIPE)
    id = root.stdout.strip()
    for _ in range(2):
        id = tree(*((b"40000", b"%04d" % number, id) for number in range(2000)))
    return id


def make(what):
    blob = write("blob", b"x")
    inner = tree((b"100644", b"config", blob))
    named = {
        "dotgit": (b"40000", b".git", inner),
        "DOTGIT": (b"40000", b".GIT", inner),
        "dotgit-blank": (b"40000", b".git ", inner),
        "dotgit-short": (b"40000", b"git~1", inner),
        "dotgit-hidden": (b"40000", b".g\xe2\x80\x8cit", inner),
        "dotdot": (b"40000", b"..", inner),
        "dot": (b"40000", b".", inner),
        "absolute": (b"100644", b"/etc/cron.d/x", blob),
        "slash": (b"100644", b"../../x", blob),
        "padded": (b"0100644", b"x", blob),
        "no-name": (b"100644", b"", blob),
        "modules-link": (b"120000", b".gitmodules", blob),
    }
    if what in named:
        return commit(tree(named[what]))
    if what == "twice":
        return commit(tree((b"120000", b"a", blob), (b"40000", b"a", inner)))
    if what == "unsorted":
        return commit(tree((b"100644", b"b", blob), (b"100644", b"a", blob)))
    if what == "module-url":
        return commit(modules(url=b"-u./\x1b]0;owned\x07"))
    if what == "module-upload-pack":
        return commit(modules(url=b"--upload-pack=touch /tmp/x"))
    if what == "module-ext":
        return commit(modules(url=b"ext::sh -c touch% /tmp/x"))
    if what == "module-path":
        return commit(modules(path=b"-x"))
    if what == "nul":
        return commit(inner, message=b"a\0b")
    if what == "no-author":
        return commit(inner, author=b"")
    if what == "bad-author":
        return commit(inner, author=b"author \x1b[31m<a@b> > 1 +0000\n")
    if what == "zeros":
        return commit(tree((b"100644", b"x", write("blob", bytes(50 << 20)))))
    return commit({"bomb": bomb, "deep": deep, "history": history}[what]())


new = make(sys.argv[1]).decode()
subprocess.run(["git", "update-ref", "refs/heads/main", new], check=True)
print(new)

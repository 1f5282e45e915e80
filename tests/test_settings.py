"""How the layers become one launch's settings, and what flags mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pexpect
import pytest

from claude_container import __version__, config, host, images
from claude_container.cli import settings
from claude_container.cli.console import Console
from claude_container.cli.settings import Resolved
from claude_container.config import Settings, TrustStore
from claude_container.engines.base import Bind
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import workspace
from tests.conftest import PROGRAM, Cli, clean_environment

LIMITS = 'memory = "1g"\ncpus = "1"\npids_limit = 99\n'
HOSTILE = """
env = ["ANTHROPIC_API_KEY"]
mount = ["/:/host"]
ssh = true
network = "host"
engine = "theirs"
ca_file = "evil.pem"
"""


def resolve(
    directory: Path,
    flags: Settings | None = None,
    *,
    dockerfile: str | None = None,
    trust: bool = False,
    ask: bool = True,
) -> Resolved:
    return settings.resolve(
        Console(), directory, flags or Settings(), dockerfile=dockerfile, trust=trust, ask=ask
    )


def write_user(home: Path, text: str) -> None:
    folder = home / ".config" / "claude-container"
    folder.mkdir(parents=True)
    (folder / config.USER_FILE).write_text(text)


def write_project(project: Path, text: str) -> None:
    (project / config.PROJECT_FILE).write_text(text)


def said_of(project: Path) -> bool | None:
    said = TrustStore(host.config_dir(os.environ)).said(project)
    return said if said is None else said is not False


# Precedence


def test_flags_come_before_variables_before_the_project_before_the_user(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = []
    write_user(home, 'memory = "user"')
    layers.append(resolve(project).settings.memory)
    write_project(project, 'memory = "project"')
    layers.append(resolve(project, trust=True).settings.memory)
    monkeypatch.setenv("CLAUDE_CONTAINER_MEMORY", "variable")
    layers.append(resolve(project, trust=True).settings.memory)
    layers.append(resolve(project, Settings(memory="flag"), trust=True).settings.memory)
    assert layers == ["user", "project", "variable", "flag"]


def test_a_stranger_may_limit_but_not_lift_the_users_own_limit(home: Path, project: Path) -> None:
    write_user(home, 'memory = "1g"')
    write_project(project, 'memory = "60g"\ncpus = 1.5')
    settings = resolve(project).settings
    assert (settings.memory, settings.cpus) == ("1g", 1.5)


@pytest.mark.parametrize("content", ["pids_limit = 0", 'dockerfile = "../other/Dockerfile"'])
def test_what_no_project_may_say_is_refused(project: Path, content: str) -> None:
    write_project(project, content)
    with pytest.raises(UsageError):
        resolve(project, trust=True)


def test_a_project_file_that_is_no_file_is_refused(project: Path) -> None:
    os.mkfifo(project / config.PROJECT_FILE)
    with pytest.raises(UsageError, match="cannot read"):
        resolve(project)


def test_an_agent_never_gets_our_own_files(home: Path) -> None:
    for folder in (home, home.parent, Path("/"), home / ".config" / "claude-container"):
        with pytest.raises(UsageError, match="own settings"):
            settings.check_workspace(folder)
    settings.check_workspace(home / "project")


def test_the_image_comes_from_the_highest_layer_that_names_one(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, str]] = []

    def look(flags: Settings | None = None, dockerfile: str | None = None) -> None:
        found = resolve(project, flags, dockerfile=dockerfile, trust=True)
        seen.append((found.dockerfile or found.settings.image, found.image_source))

    look()
    write_user(home, 'image = "users"')
    look()
    (project / "Dockerfile").touch()
    look()
    write_project(project, 'image = "projects"')
    look()
    (project / "Own").touch()
    write_project(project, 'dockerfile = "Own"\nimage = "projects"')
    look()
    monkeypatch.setenv("CLAUDE_CONTAINER_IMAGE", "variables")
    look()
    look(Settings(image="flags"))
    look(dockerfile="./Other")
    assert seen == [
        (None, "your config file"),
        ("users", "your config file"),
        (project / "Dockerfile", str(project / "Dockerfile")),
        ("projects", ".claude-container.toml"),
        (project / "Own", str(project / "Own")),
        ("variables", "CLAUDE_CONTAINER_IMAGE"),
        ("flags", "--image"),
        (Path("Other"), "the command line"),
    ]


def test_a_users_own_dockerfile_is_used_where_the_project_has_none(
    home: Path, project: Path
) -> None:
    write_user(home, 'dockerfile = "~/Dockerfile"')
    assert resolve(project).dockerfile == home / "Dockerfile"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_variant_is_an_answer_to_which_image_in_every_layer(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    def chosen(flags: Settings | None = None) -> tuple[object, ...]:
        found = resolve(project, flags, trust=trusted, ask=False)
        return found.dockerfile, found.settings.image, found.settings.variant

    write_user(home, 'variant = "full"')
    assert chosen() == (None, None, "full")
    (project / "Dockerfile").write_text("FROM x")
    # The user's own is what the default image is, where nothing else is asked for.
    assert chosen() == (project / "Dockerfile" if trusted else None, None, "full")
    write_project(project, 'variant = "rust"')
    # It needs no trust, and then fills in only where the user's own file says nothing.
    assert chosen() == (None, None, "rust" if trusted else "full")
    (home / ".config" / "claude-container" / config.USER_FILE).write_text('image = "mine"')
    assert chosen() == ((None, None, "rust") if trusted else (None, "mine", "rust"))
    (home / ".config" / "claude-container" / config.USER_FILE).write_text("")
    assert chosen() == (None, None, "rust")
    monkeypatch.setenv("CLAUDE_CONTAINER_VARIANT", "python")
    assert chosen() == (None, None, "python")
    assert chosen(Settings(image="flag"))[1] == "flag"
    monkeypatch.setenv("CLAUDE_CONTAINER_IMAGE", "variable")
    assert chosen(Settings(variant="slim")) == (None, None, "slim")


@pytest.mark.parametrize(
    ("flags", "dockerfile"),
    [(Settings(image="x", variant="full"), None), (Settings(variant="full"), "Dockerfile")],
)
def test_a_variant_is_of_the_default_image_alone(
    project: Path, flags: Settings, dockerfile: str | None
) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        resolve(project, flags, dockerfile=dockerfile)


def test_where_default_images_come_from_is_for_the_user_alone(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_project(project, 'default_image = "evil.example/x"')
    resolve(project, trust=True)
    assert "ignored default_image" in capfd.readouterr().err
    assert images.repository() == images.DEFAULT_REPOSITORY
    write_user(home, 'default_image = "localhost:5000/a/claude-container"')
    names = [images.default_name(variant) for variant in ("slim", "full")]
    tag = f"localhost:5000/a/claude-container:{__version__}"
    assert names == [tag, f"{tag}-full"]
    monkeypatch.setenv("CLAUDE_CONTAINER_DEFAULT_IMAGE", "other/name")
    assert images.repository() == "other/name"
    # What git does in a session's volume comes from there, too, and is slim.
    monkeypatch.setenv("CLAUDE_CONTAINER_VARIANT", "full")
    assert workspace.spec("s", "x").image == f"other/name:{__version__}"
    assert images.slim().name == f"other/name:{__version__}"


@pytest.mark.parametrize(
    "name", ["a:1", "localhost:5000", "a@sha256:0", "A", "-v", "a b", "a//b", "https://a/b", "a/"]
)
def test_a_default_image_is_a_name_without_a_tag(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONTAINER_DEFAULT_IMAGE", name)
    with pytest.raises(UsageError, match="cannot be an image"):
        images.repository()


def test_a_variant_that_there_is_not_is_answered_with_those_there_are(here: Cli) -> None:
    for ran in (here("--variant", "ful"), here(CLAUDE_CONTAINER_VARIANT="ful")):
        assert ran.code == 2 and "slim" in ran.stderr and "rust" in ran.stderr


def test_an_image_and_a_dockerfile_exclude_each_other(project: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        resolve(project, Settings(image="x"), dockerfile="Dockerfile")


# What a repository may set


def test_a_repository_may_limit_itself_untrusted(project: Path) -> None:
    write_project(project, LIMITS)
    chosen = resolve(project).settings
    assert (chosen.memory, chosen.cpus, chosen.pids_limit) == ("1g", "1", 99)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("flags", [Settings(), Settings(image="x")])
def test_what_reaches_the_host_is_ignored_even_of_a_trusted_repository(
    project: Path, trust: bool, flags: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(project, HOSTILE)
    assert resolve(project, flags, trust=trust).settings == flags
    assert "ignored ca_file, engine, env, mount, network, ssh" in capsys.readouterr().err


def test_a_trusted_repository_adds_its_ports_on_this_machine_alone(
    home: Path, project: Path
) -> None:
    write_user(home, 'publish = ["1"]')
    write_project(project, 'publish = ["0.0.0.0:2:22", "3"]')
    chosen = resolve(project, Settings(publish=("0.0.0.0:4:4",)), trust=True).settings
    assert chosen.publish == ("1", "127.0.0.1:2:22", "127.0.0.1:3:3", "0.0.0.0:4:4")


@pytest.mark.parametrize(
    "settled", [{"flags": Settings(image="x")}, {"dockerfile": "Dockerfile"}], ids=str
)
@pytest.mark.parametrize(
    ("said", "ports"),
    [(None, 0), (False, 0), ({}, 0), ({"port 127.0.0.1:8080:8080": ""}, 1)],
    ids=str,
)
def test_ports_need_trust_whichever_image_is_used(
    project: Path, settled: dict[str, object], said: Any, ports: int
) -> None:
    write_project(project, 'publish = ["8080"]')
    if said is not None:
        TrustStore(host.config_dir(os.environ)).remember(project, said)
    assert len(resolve(project, **settled).settings.publish) == ports  # type: ignore[arg-type]


@pytest.mark.parametrize("image", ["image = 'theirs'", "dockerfile = 'Dockerfile'", ""])
def test_a_named_image_needs_no_trust(project: Path, image: str) -> None:
    """It is what the message about trust offers."""
    write_project(project, image)
    (project / "Dockerfile").touch()
    assert resolve(project, Settings(image="mine")).settings.image == "mine"
    assert said_of(project) is None


# Trust


BRINGS = [
    ("Dockerfile", "", "Dockerfile"),
    (".devcontainer/Dockerfile", "", ".devcontainer/Dockerfile"),
    (config.PROJECT_FILE, "image = 'theirs'", "image theirs"),
    (config.PROJECT_FILE, "dockerfile = 'x/y'", "x/y"),
    (config.PROJECT_FILE, "publish = ['1']", "port 127.0.0.1:1:1"),
]


@pytest.fixture(params=BRINGS, ids=lambda brings: f"{brings[0]}-{brings[2]}")
def brought(request: pytest.FixtureRequest, project: Path) -> str:
    """Something in the project that needs trust, by its name in the question."""
    file, content, name = request.param
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text(content)
    return str(name)


def test_without_a_terminal_trust_is_an_error_that_names_the_ways_out(
    project: Path, brought: str
) -> None:
    with pytest.raises(ClaudeContainerError) as raised:
        resolve(project)
    assert raised.value.what == f"{project} is not trusted yet, and it brings: {brought}"
    assert raised.value.exit_code == 1
    for way in ("claude-container trust", "--trust", "--image"):
        assert way in raised.value.hint
    assert said_of(project) is None


def test_what_is_not_trusted_is_left_out_and_said(
    project: Path, brought: str, capsys: pytest.CaptureFixture[str]
) -> None:
    TrustStore(host.config_dir(os.environ)).remember(project, False)
    assert resolve(project) == Resolved(Settings(), None, "your config file", (brought,))
    assert f"not used, as {project} is not trusted: {brought}" in capsys.readouterr().err


def test_doctor_asks_nothing(project: Path, brought: str) -> None:
    left_out = Resolved(Settings(), None, "your config file", (brought,))
    assert resolve(project, ask=False) == left_out
    assert said_of(project) is None


def test_the_flag_trusts_this_once(project: Path, brought: str) -> None:
    resolved = resolve(project, trust=True)
    assert resolved != Resolved(Settings(), None, "your config file")
    assert said_of(project) is None
    with pytest.raises(ClaudeContainerError):
        resolve(project)


def test_trust_and_untrust_answer_for_the_next_launch(cli: Cli, project: Path) -> None:
    (project / "Dockerfile").touch()
    assert cli("trust").code == 0
    assert resolve(project).dockerfile
    assert cli("untrust").code == 0
    with pytest.raises(ClaudeContainerError):
        resolve(project)


@pytest.mark.parametrize("change", ["Dockerfile", "port"])
def test_what_changed_is_asked_about_again(cli: Cli, project: Path, change: str) -> None:
    """An agent in the directory itself could have written it."""
    (project / "Dockerfile").touch()
    (project / "README").touch()
    assert "hint: it brings Dockerfile\n" in cli("trust").stderr
    (project / "README").write_text("changed")
    assert resolve(project).dockerfile
    if change == "port":
        write_project(project, "publish = ['1']")
    else:
        (project / "Dockerfile").write_text("FROM theirs")
    assert resolve(project, ask=False).dockerfile is None
    with pytest.raises(ClaudeContainerError, match="has changed since it was trusted"):
        resolve(project)
    assert cli("trust").code == 0
    assert resolve(project).dockerfile


def test_trust_is_for_one_directory_not_for_those_in_it(cli: Cli, project: Path) -> None:
    """Else a repository in it would be trusted once an agent has moved its .git away."""
    (project / "inner").mkdir()
    (project / "inner" / "Dockerfile").touch()
    assert cli("trust").code == 0
    with pytest.raises(ClaudeContainerError, match="not trusted yet"):
        resolve(project / "inner")


def test_untrust_says_when_there_was_nothing(cli: Cli, project: Path) -> None:
    assert "nothing was said about" in cli("untrust").stderr


@pytest.mark.parametrize(
    ("typed", "said", "shown"), [("y", True, "no token"), ("", False, "not trusted")]
)
def test_on_a_terminal_trust_is_asked_once_and_remembered(
    home: Path, project: Path, typed: str, said: bool, shown: str
) -> None:
    def launch() -> pexpect.spawn[str]:
        return pexpect.spawn(
            PROGRAM,
            cwd=str(project),
            env=clean_environment(home),
            encoding="utf-8",
            timeout=20,
        )

    (project / "Dockerfile").touch()
    first = launch()
    first.expect_exact("Trust this directory, now and later?")
    first.sendline(typed)
    first.expect_exact(shown)
    first.expect(pexpect.EOF)
    assert said_of(project) is said
    second = launch()
    assert second.expect_exact(["Trust this directory", "no token"]) == 1


# What flags mean


def test_a_variable_is_set_or_taken_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "here")
    words = ("A=1", "B=", "C=x=y", "HERE", "NOT_HERE", "A=2")
    assert settings.environment(words) == {"A": "2", "B": "", "C": "x=y", "HERE": "here"}


@pytest.mark.parametrize("word", ["", "=x", "1A=x", "A-B=x", "A B", "ü=x", "--env=x"])
def test_what_is_no_variables_name_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a variable"):
        settings.environment((word,))


@pytest.mark.parametrize("word", ["CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN=x"])
def test_the_token_is_not_passed_as_a_variable(word: str) -> None:
    with pytest.raises(UsageError, match="is not needed"):
        settings.environment((word,))


@pytest.mark.parametrize(
    ("word", "bind"),
    [
        ("{p}/a:/b", Bind("{p}/a", "/b")),
        ("{p}/a:/b:ro", Bind("{p}/a", "/b", read_only=True)),
        ("{p}/a:/b:rw", Bind("{p}/a", "/b")),
        ("a:/b", Bind("{p}/a", "/b")),
        ("./a/../a:/b", Bind("{p}/a", "/b")),
        ("link:/b", Bind("{p}/a", "/b")),
        ("~:/b", Bind("{h}", "/b")),
        ("c:d:/b", Bind("{p}/c:d", "/b")),
        ("a:/b, c", Bind("{p}/a", "/b, c")),
    ],
)
def test_a_mount_names_what_is_there(home: Path, project: Path, word: str, bind: Bind) -> None:
    (project / "a").mkdir()
    (project / "c:d").touch()
    (project / "link").symlink_to("a")
    (made,) = settings.mounts((word.format(p=project),), project)
    assert made == Bind(
        bind.source.format(p=project, h=home), bind.target, read_only=bind.read_only
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "is not SRC:DST"),
        ("/tmp", "is not SRC:DST"),
        ("/tmp:relative", "is not SRC:DST"),
        ("/tmp:/a:rx", "is not SRC:DST"),
        (":/a", "is not SRC:DST"),
        ("missing:/a", "there is no"),
        ("x" * 300 + ":/a", "there is no"),
        ("~nobody-of-this-name/x:/a", "cannot tell where"),
    ],
)
def test_a_mount_of_nothing_is_refused(project: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings.mounts((word,), project)


@pytest.mark.parametrize(
    ("word", "port"),
    [
        ("8080", "127.0.0.1:8080:8080"),
        ("8080:80", "127.0.0.1:8080:80"),
        ("53:53/udp", "127.0.0.1:53:53/udp"),
        ("0.0.0.0:8080:80", "0.0.0.0:8080:80"),
        ("192.168.1.2:80", "192.168.1.2:80:80"),
        ("[::1]:80:80", "[::1]:80:80"),
    ],
)
def test_a_port_is_this_machines_alone_unless_an_address_is_named(word: str, port: str) -> None:
    assert settings.publish(word) == port


@pytest.mark.parametrize("word", ["0.0.0.0:8080:80", "[::]:8080:80", "8080:80"])
def test_a_port_can_be_held_on_this_machine(word: str) -> None:
    assert settings.publish(word, only_local=True) == "127.0.0.1:8080:80"


@pytest.mark.parametrize(
    "word", ["", "http", "80:", ":80", "1:2:3", "80 --privileged", "80\n", "-1"]
)
def test_what_is_no_port_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not"):
        settings.publish(word)


# The certificate


PEM = b"-----BEGIN CERTIFICATE-----\nmade up\n-----END CERTIFICATE-----\n"


@pytest.fixture
def no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in host.CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_certificate")
class TestCertificate:
    def test_none_is_the_usual_case(self) -> None:
        assert images.certificate(None) == b""

    def test_the_file_that_was_set_comes_before_a_variables(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home / "ca.pem").write_bytes(PEM)
        (home / "other.pem").write_bytes(PEM * 2)
        monkeypatch.setenv("SSL_CERT_FILE", str(home / "other.pem"))
        assert images.certificate("~/ca.pem") == PEM
        assert images.certificate(None) == PEM * 2

    def test_the_image_that_git_works_in_is_built_with_the_users_own(self, home: Path) -> None:
        (home / "ca.pem").write_bytes(PEM)
        write_user(home, 'ca_file = "~/ca.pem"')
        for ca, held in (None, True), (b"", False):
            build = images.slim(ca).build
            assert build and isinstance(build.context, bytes)
            assert (PEM in build.context) == held

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("missing", "cannot read the ca_file"),
            (".", "cannot read the ca_file"),
            ("x" * 300, "cannot read the ca_file"),
            ("notes", "holds no certificate"),
            ("~nobody-of-this-name/ca", "cannot tell where"),
        ],
    )
    def test_a_file_that_was_set_must_hold_one_and_a_variables_need_not(
        self, home: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home / "notes").write_text("no certificate")
        monkeypatch.chdir(home)
        with pytest.raises(UsageError, match=said):
            images.certificate(name)
        monkeypatch.setenv("SSL_CERT_FILE", name)
        assert images.certificate(None) == b""


@pytest.mark.parametrize(
    "verb", [["demo"], ["list"], ["diff", "x"], ["merge", "x", "--all"], ["delete", "x"]]
)
def test_which_engine_is_for_the_user_alone_and_every_verb_takes_that(
    home: Path, project: Path, here: Cli, verb: list[str]
) -> None:
    write_user(home, 'engine = "of-mine"')
    write_project(project, HOSTILE)
    ran = here(*verb)
    assert ran.code == 2 and "of-mine" in ran.stderr
    assert "theirs" not in ran.stderr

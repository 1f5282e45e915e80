"""What is read of a devcontainer.json, and that nothing in one can hurt."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from claude_container import config, devcontainer, host
from claude_container.cli import settings
from claude_container.cli.console import Console
from claude_container.config import Settings, TrustStore
from claude_container.devcontainer import Command, DevContainer
from claude_container.errors import ClaudeContainerError, UsageError
from claude_container.sessions import payload
from tests.conftest import Cli

MAIN = ".devcontainer/devcontainer.json"


def put(directory: Path, content: object, place: str = MAIN) -> Path:
    file = directory / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def read(directory: Path, content: object, place: str = MAIN) -> DevContainer:
    file = put(directory, content, place)
    return devcontainer.read(file, directory, host.read_regular, "/workspace")


def resolve(directory: Path, flags: Settings | None = None, **how: bool) -> settings.Resolved:
    return settings.resolve(Console(), directory, flags or Settings(), **how)


# What people write


def test_an_image_with_what_an_editor_wants_besides(project: Path) -> None:
    found = read(
        project,
        """
        // For format details, see a web page: https://example.com/// and so on
        {
            "$schema": "https://example.com/schema.json",
            "name": "Node",
            "image": "example.com/devcontainers/javascript-node:22", // a version
            /* "features": {}, */
            "customizations": {"vscode": {"extensions": ["a.b",]}},
            "features": {"example.com/features/rust:1": {}},
            "postCreateCommand": "pnpm install --frozen-lockfile && pnpm test",
            "portsAttributes": {"6080": {"label": "VNC"}},
            "mounts": [],
            "privileged": false,
        }
        """,
    )
    assert found.image == "example.com/devcontainers/javascript-node:22"
    line = "pnpm install --frozen-lockfile && pnpm test"
    assert found.post_create == (Command(f"postCreateCommand: {line}", ("/bin/sh", "-c", line)),)
    assert found.left_out == ("features",)


def test_a_build_with_all_that_it_can_have(project: Path) -> None:
    found = read(
        project,
        {
            "build": {
                "dockerfile": "../Dockerfile",
                "context": "..",
                "args": {"VARIANT": "3.12", "JOBS": 4, "FAST": True},
                "target": "dev",
                "cacheFrom": "example.com/cache",
                "options": ["--network=host"],
            },
            "remoteUser": "vscode",
            "updateRemoteUserUID": True,
        },
    )
    assert (found.dockerfile, found.context) == (project / "Dockerfile", project)
    assert found.args == {"VARIANT": "3.12", "JOBS": "4", "FAST": "true"}
    assert (found.target, found.user, found.image) == ("dev", "vscode", None)
    assert found.left_out == ("build.cacheFrom", "build.options")


def test_the_older_words_for_a_build(project: Path) -> None:
    found = read(project, {"dockerFile": "Dockerfile", "context": "..", "containerUser": "node"})
    assert (found.dockerfile, found.context) == (project / ".devcontainer/Dockerfile", project)
    assert found.user == "node"


def test_the_context_is_the_folder_of_the_file(project: Path) -> None:
    found = read(project, {"build": {"dockerfile": "Dockerfile"}})
    assert found.context == project / ".devcontainer"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("a b", [["/bin/sh", "-c", "a b"]]),
        (["a", "b c"], [["a", "b c"]]),
        ({"x": "a b", "y": ["c", "d"], "z": ""}, [["/bin/sh", "-c", "a b"], ["c", "d"]]),
        ("", []),
        ([], []),
        (None, []),
        ("bash ${containerWorkspaceFolder}/x.sh", [["/bin/sh", "-c", "bash /workspace/x.sh"]]),
        ("echo ${HOME} $X ${Y:-z}", [["/bin/sh", "-c", "echo ${HOME} $X ${Y:-z}"]]),
    ],
)
def test_the_forms_of_a_command(project: Path, said: object, words: list[list[str]]) -> None:
    found = read(project, {"image": "x", "postCreateCommand": said})
    assert [list(command.words) for command in found.post_create] == words


def test_a_command_is_called_by_its_name_and_never_drives_a_terminal(project: Path) -> None:
    said = {"db\033[2J": "x" * 100, "b": ["echo", "two words"]}
    found = read(project, {"image": "x", "postCreateCommand": said})
    assert [command.label for command in found.post_create] == [
        f"postCreateCommand db\\x1b[2J: {'x' * 56}…",
        "postCreateCommand b: echo 'two words'",
    ]
    assert found.in_words().isprintable()


def test_nothing_is_hidden_behind_a_long_line(project: Path) -> None:
    env = {f"A{n}": "x" for n in range(10_000)}
    said = {"image": "x" * 1000, "containerEnv": env, "postCreateCommand": {"y" * 999: "evil"}}
    assert len(read(project, said).in_words()) < 300


def test_ports_are_numbers_of_this_container(project: Path) -> None:
    ports = [3000, "3001", "localhost:3002", "127.0.0.1:3003", 3000]
    wrong = ["db:5432", 0, -1, 70000, "x", "80/udp", "0.0.0.0:80", "1:2:3", "٣"]
    found = read(project, {"image": "x", "forwardPorts": [*ports, *wrong]})
    assert found.ports == (3000, 3001, 3002, 3003)
    assert found.left_out == tuple(f"forwardPorts {port}" for port in wrong)


@pytest.mark.parametrize("user", ["root", "1000", "1000:1000", "-x", "a b", "$(id)", "../x"])
def test_who_is_no_user_to_become_is_named(project: Path, user: str) -> None:
    found = read(project, {"image": "x", "remoteUser": user})
    assert found.user is None
    assert found.left_out == (f"remoteUser {user} (claude has your own uid, and no privilege)",)


REACHES_THE_HOST = {
    "mounts": ["source=/,target=/host,type=bind"],
    "runArgs": ["--privileged"],
    "privileged": True,
    "capAdd": ["SYS_ADMIN"],
    "securityOpt": ["seccomp=unconfined"],
    "initializeCommand": "touch /tmp/on-the-host",
    "workspaceMount": "source=/,target=/workspace,type=bind",
    "workspaceFolder": "/",
    "appPort": ["0.0.0.0:80:80"],
    "onCreateCommand": "x",
    "updateContentCommand": "x",
    "postStartCommand": "x",
    "postAttachCommand": "x",
    "hostRequirements": {"gpu": True},
    "postCreateComand": "a slip of the pen",
}


@pytest.mark.parametrize("name", REACHES_THE_HOST)
def test_what_is_not_taken_over_is_named_and_does_nothing(project: Path, name: str) -> None:
    found = read(project, {"image": "x", name: REACHES_THE_HOST[name]})
    bare = read(project, {"image": "x"})
    assert found.left_out == (name,)
    assert bare == DevContainer(bare.file, bare.digest, image="x")
    assert found == DevContainer(found.file, found.digest, image="x", left_out=(name,))


# Variables


def test_variables_that_are_the_containers_business(project: Path) -> None:
    env = {
        "A": "${localWorkspaceFolderBasename}",
        "B": "${containerWorkspaceFolder}/.venv:${containerWorkspaceFolderBasename}",
    }
    found = read(project, {"image": "x", "containerEnv": env})
    assert found.env == {"A": project.name, "B": "/workspace/.venv:workspace"}
    assert found.left_out == ()


@pytest.mark.parametrize("variable", ["${localEnv:SECRET}", "${env:SECRET}"])
def test_no_variable_of_the_host_gets_in(
    project: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "the-secret")
    found = read(
        project,
        {
            "build": {"dockerfile": "Dockerfile", "args": {"X": f"a{variable}"}},
            "containerEnv": {"Y": variable, "Z": f"{variable[:-1]}:otherwise}}"},
            "postCreateCommand": f"echo {variable}",
            "remoteEnv": {"W": f"{variable}:${{containerEnv:PATH}}"},
        },
    )
    assert "the-secret" not in repr(found)
    # A value that would be half of what was meant is none at all.
    assert (dict(found.args), found.env["Z"]) == ({"X": "a"}, "otherwise")
    assert f"{variable} in build.args.X" in found.left_out
    assert f"{variable} in containerEnv.Y" in found.left_out
    assert f"{variable} in postCreateCommand" in found.left_out
    assert "Y" not in found.env


def test_the_hosts_paths_stay_here(project: Path) -> None:
    env = {"A": "${localWorkspaceFolder}", "B": "${devcontainerId}"}
    found = read(project, {"image": "x", "containerEnv": env})
    assert found.env == {}
    assert found.left_out == (
        "${localWorkspaceFolder} in containerEnv.A",
        "${devcontainerId} in containerEnv.B",
    )


OURS = [
    *("CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "CLAUDE_CONFIG_DIR"),
    *("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "IS_SANDBOX"),
    *("HTTPS_PROXY", "https_proxy", "All_Proxy", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "LD_PRELOAD"),
    *("NODE_TLS_REJECT_UNAUTHORIZED", "NODE_OPTIONS", "BUN_OPTIONS", "SSL_CERT_FILE", "HOME"),
]


@pytest.mark.parametrize("key", ["containerEnv", "remoteEnv"])
@pytest.mark.parametrize("name", OURS)
def test_our_own_variables_are_not_for_a_repository(project: Path, name: str, key: str) -> None:
    found = read(project, {"image": "x", key: {name: "theirs", "OTHER": "1"}})
    assert found.env == {"OTHER": "1"}
    assert found.left_out == (f"{key}.{name}",)


@pytest.mark.parametrize("value", ["", "a b", "it's", '"$(id)`id`\\', "ü\n\t", "-n", "a=b", "*"])
def test_a_value_reaches_the_program_as_it_is(value: str, tmp_path: Path) -> None:
    before = "/usr/bin:/a b"
    env = {"V": value, "P": f"{value}:${{containerEnv:IN}}:/x", "exec": "1", "IFS": "x"}
    dev = DevContainer(tmp_path, "", env={**env, "GONE": None})
    script = tmp_path / "env"
    script.write_text(payload._env_script({"token": value}, dev.env))
    look = 'printf "%s|%s|%s|%s|%s" "$V" "$P" "$exec" "${GONE-gone}" "$token"'
    ran = subprocess.run(
        ["/bin/sh", str(script), "/bin/sh", "-c", look],
        env={"IN": before, "GONE": "here", "PATH": "/usr/bin:/bin", "token": "the scripts' own"},
        capture_output=True,
        check=True,
    )
    assert ran.stdout.decode() == f"{value}|{value}:{before}:/x|1|gone|{value}"


def test_only_the_name_of_a_variable_becomes_a_part_of_a_script() -> None:
    assert payload._shell_word("${containerEnv:A;id}") == "'${containerEnv:A;id}'"


# Bad and hostile files


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"image": "x"} x',
        '{"image": "\\u0000"}',
        '{"image": "\\ud800"}',
        '{"image": 1}',
        '{"build": "Dockerfile"}',
        '{"image": "x", "forwardPorts": "3000"}',
        '{"image": "x", "containerEnv": {"A": {}}}',
        '{"image": "x", "containerEnv": {"A B": "1"}}',
        '{"image": "x", "containerEnv": {"ü": "1"}}',
        '{"image": "x", "containerEnv": {"A=B": "1"}}',
        '{"image": "x", "postCreateCommand": 1}',
        f'{{"image": {"9" * 5000}}}',
        "/*" * 100_000,
        '"' * 100_001,
        " " * (1 << 18) + "{}",
    ],
    ids=lambda content: content[:30],
)
def test_a_file_that_is_not_valid_is_an_error_at_once(project: Path, content: str) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"devcontainer\.json") as raised:
        read(project, content)
    assert time.monotonic() - began < 5
    assert raised.value.hint == "--devcontainer none does without it"
    assert (raised.value.what + raised.value.evidence).isprintable()


def test_a_slip_is_shown(project: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read(project, '{\n // a comment\n "image": "x"\n "remoteUser": "me"\n}')
    assert '"x"\\n "remoteUser"' in raised.value.evidence


def test_no_other_file_of_the_host_is_read_and_shown(project: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (project / ".devcontainer").mkdir()
    (project / MAIN).symlink_to(tmp_path / "token")
    with pytest.raises(UsageError, match="is a link out of") as raised:
        devcontainer.read(project / MAIN, project, host.read_regular, "/workspace")
    assert "secret" not in str(raised.value.evidence)


def test_a_file_that_is_none_is_not_read(project: Path) -> None:
    (project / ".devcontainer").mkdir()
    os.mkfifo(project / MAIN)
    with pytest.raises(UsageError, match="cannot read"):
        devcontainer.read(project / MAIN, project, host.read_regular, "/workspace")


@pytest.mark.parametrize(
    "build",
    [
        {"dockerfile": "../../x"},
        {"dockerfile": "/etc/passwd"},
        {"dockerfile": "link/x"},
        {"dockerfile": "/proc/self/cwd/Dockerfile"},
        {"dockerfile": "Dockerfile", "context": "../.."},
        {"dockerfile": "Dockerfile", "context": "/"},
        {"dockerfile": "Dockerfile", "context": "link"},
    ],
    ids=str,
)
def test_a_build_sees_nothing_outside_of_the_directory(
    project: Path, build: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    put(project, "")
    (project / ".devcontainer" / "link").symlink_to(project.parent)
    with pytest.raises(UsageError, match="is outside of"):
        read(project, {"build": build})


# Which file


@pytest.mark.parametrize(
    ("there", "chosen", "found", "others"),
    [
        ([], None, None, ()),
        ([MAIN, ".devcontainer.json"], None, MAIN, ()),
        ([".devcontainer.json"], None, ".devcontainer.json", ()),
        ([".devcontainer/a/devcontainer.json"], None, ".devcontainer/a/devcontainer.json", ()),
        ([f".devcontainer/{n}/devcontainer.json" for n in "ba"], None, None, ("a", "b")),
        ([MAIN, ".devcontainer/a/devcontainer.json"], None, MAIN, ("a",)),
        (
            [MAIN, ".devcontainer/a/devcontainer.json"],
            "a",
            ".devcontainer/a/devcontainer.json",
            (),
        ),
        ([MAIN], "none", None, ()),
    ],
)
def test_the_file_that_counts(
    project: Path, there: list[str], chosen: str | None, found: str | None, others: tuple[str, ...]
) -> None:
    for place in there:
        put(project, {"image": "x"}, place)
    expected = project / found if found else None
    assert devcontainer.find(project, chosen) == (expected, others)


@pytest.mark.parametrize("chosen", ["b", "", "..", "../x", "a/../a"])
def test_one_that_is_not_there_cannot_be_chosen(project: Path, chosen: str) -> None:
    put(project, {"image": "x"}, ".devcontainer/a/devcontainer.json")
    with pytest.raises(UsageError, match="there is no") as raised:
        devcontainer.find(project, chosen)
    assert raised.value.hint == "there is: a"


# In a launch's settings


def test_it_comes_before_a_dockerfile_that_nobody_named(project: Path) -> None:
    (project / "Dockerfile").touch()
    put(project, {"image": "theirs"})
    found = resolve(project, trust=True)
    assert (found.settings.image, found.dockerfile) == ("theirs", None)
    put(project, {"build": {"dockerfile": "D", "context": ".."}})
    found = resolve(project, trust=True)
    assert found.dockerfile == project / ".devcontainer" / "D"
    without = resolve(project, Settings(devcontainer="none"), trust=True)
    assert (without.dockerfile, without.dev) == (project / "Dockerfile", None)


@pytest.mark.parametrize("by", ["--image", "CLAUDE_CONTAINER_IMAGE", config.PROJECT_FILE])
def test_where_the_image_is_chosen_otherwise_nothing_of_it_counts(
    project: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, {"image": "theirs", "forwardPorts": [1], "containerEnv": {"A": "1"}})
    if by == config.PROJECT_FILE:
        (project / by).write_text('image = "mine"')
    elif by == "CLAUDE_CONTAINER_IMAGE":
        monkeypatch.setenv(by, "mine")
    found = resolve(project, Settings(image="mine" if by == "--image" else None), trust=True)
    assert (found.settings.image, found.dev, found.notes) == ("mine", None, ())


def test_it_comes_before_the_users_own_image(project: Path, home: Path) -> None:
    (home / ".config" / "claude-container").mkdir(parents=True)
    file = home / ".config" / "claude-container" / config.USER_FILE
    file.write_text('image = "users"')
    put(project, {"image": "theirs"})
    assert resolve(project, trust=True).settings.image == "theirs"
    file.write_text('image = "users"\ndevcontainer = "none"')
    assert resolve(project).settings.image == "users"


def test_one_without_an_image_is_not_used_and_says_why(project: Path) -> None:
    (project / "Dockerfile").touch()
    put(project, {"dockerComposeFile": "compose.yaml", "service": "app", "remoteUser": "me"})
    found = resolve(project, trust=True)
    assert (found.dev, found.dockerfile) == (None, project / "Dockerfile")
    assert found.notes == (
        f"{MAIN} is not used: it names no image and no Dockerfile (dockerComposeFile, service)",
    )


def test_untrusted_nothing_of_it_is_used(project: Path) -> None:
    put(project, {"image": "theirs", "features": {"x": {}}, "forwardPorts": [3000]})
    with pytest.raises(ClaudeContainerError, match="is not trusted yet") as raised:
        resolve(project)
    assert raised.value.what.endswith(f"it brings: {MAIN} (image theirs, ports 3000)")
    TrustStore(host.config_dir(os.environ)).remember(project, False)
    found = resolve(project)
    assert found == settings.Resolved(
        Settings(), None, "your config file", (f"{MAIN} (image theirs, ports 3000)",)
    )


@pytest.mark.parametrize("changed", [MAIN, ".devcontainer/Dockerfile"])
def test_once_it_changed_it_is_asked_about_again(cli: Cli, project: Path, changed: str) -> None:
    put(project, {"build": {"dockerfile": "Dockerfile"}})
    (project / ".devcontainer" / "Dockerfile").touch()
    assert cli("trust").code == 0
    assert resolve(project).dev
    with (project / changed).open("a") as file:
        file.write("\n")
    with pytest.raises(ClaudeContainerError, match="has changed since it was trusted"):
        resolve(project)


def test_a_broken_file_stops_a_launch_and_no_other_verb(here: Cli, project: Path) -> None:
    put(project, "{")
    ran = here()
    assert (ran.code, "is not valid JSON" in ran.stderr) == (2, True)
    assert resolve(project, ask=False).notes == (f"{MAIN} is not valid JSON",)

"""The Dockerfile, proven without a container engine: it is parsed, and its build steps are run."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = re.compile(r"(\S+?)(?: AS (\S+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One instruction; lines that end in a backslash are joined."""

    word: str
    rest: str


def instructions() -> Iterator[Step]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.strip().partition(" ")
            yield Step(word, " ".join(rest.split()))


def stages() -> list[list[Step]]:
    found: list[list[Step]] = []
    for step in instructions():
        if step.word == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def only(stage: list[Step], word: str) -> str:
    """What the one instruction of this kind says."""
    matching = [step.rest for step in stage if step.word == word]
    assert len(matching) == 1, f"{word} is there {len(matching)} times"
    return matching[0]


def copied(stage: list[Step]) -> list[str]:
    """What the stage takes from the checkout."""
    steps = [shlex.split(step.rest) for step in stage if step.word == "COPY"]
    return [name for parts in steps if not parts[0].startswith("--") for name in parts[:-1]]


def build_command(word: str) -> list[str]:
    """The build stage's one RUN step that holds these words."""
    runs = [step.rest for step in stages()[0] if step.word == "RUN" and word in step.rest]
    assert len(runs) == 1, f"{word!r} is run {len(runs)} times"
    return shlex.split(runs[0])


def test_there_are_two_stages_on_base_images_with_a_full_version() -> None:
    assert len(stages()) == 2
    for stage in stages():
        image = STAGE.fullmatch(only(stage, "FROM"))
        assert image is not None
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", image.group(1))


def test_the_base_image_has_a_python_that_the_project_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = tuple(int(part) for part in project["requires-python"].removeprefix(">=").split("."))
    found = re.search(r"python:(\d+)\.(\d+)\.", only(stages()[0], "FROM"))
    assert found is not None
    assert (int(found.group(1)), int(found.group(2))) >= least


def test_the_service_is_not_root_and_owns_its_one_volume() -> None:
    runtime = stages()[1]
    uid, gid = only(runtime, "USER").split(":")
    volume = only(runtime, "VOLUME")
    assert int(uid) > 0
    assert f"install -d -o {uid} -g {gid} -m 0750 {volume}" in only(runtime, "RUN")
    words = [step.word for step in runtime]
    assert words.index("RUN") < words.index("USER") < words.index("VOLUME")
    assert f"ICEMARGIN__STORAGE__DIRECTORY={volume}" in only(runtime, "ENV")


def test_it_serves_with_the_config_that_is_copied_in() -> None:
    runtime = stages()[1]
    command = json.loads(only(runtime, "CMD"))
    assert command[:3] == ["icemargin", "serve", "--config"]
    assert Step("COPY", f"config.yaml {command[3]}") in runtime
    assert only(runtime, "EXPOSE") == "11112"


def test_everything_is_installed_by_hash_or_is_our_own_wheel() -> None:
    installs = [s.rest for s in stages()[0] if s.word == "RUN" and "pip install" in s.rest]
    for command in installs:
        assert "--require-hashes" in command or "--no-index --no-deps /wheels/" in command
    named = [word for command in installs for word in command.split() if word.endswith(".txt")]
    assert sorted(named) == ["requirements/dev.txt", "requirements/runtime.txt"]
    for name in named:
        assert (ROOT / name).exists()


def test_the_builder_gets_every_folder_that_the_wheel_is_made_of() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wanted = {name.split("/")[0] for name in build["targets"]["wheel"]["only-include"]}
    assert wanted <= set(copied(stages()[0]))


def test_what_is_copied_exists_and_is_let_through_by_dockerignore() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    for name in [*copied(stages()[0]), *copied(stages()[1])]:
        assert (ROOT / name).exists()
        assert f"!{name}" in lines


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made by the Dockerfile's own step from nothing but what it copies."""
    source = tmp_path_factory.mktemp("src")
    wheels = tmp_path_factory.mktemp("wheels")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *copied(stages()[0])],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip, *arguments = build_command("pip wheel")
    assert pip == "/opt/build/bin/pip"
    replaced = [str(wheels) if word == "/wheels" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *replaced], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = wheels.glob("icemargin-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the Dockerfile's install step leaves, dependencies apart."""
    target = tmp_path_factory.mktemp("site")
    _, *arguments = build_command("/wheels/")
    replaced = [str(wheel) if word.startswith("/wheels/") else word for word in arguments]
    subprocess.run([sys.executable, "-m", "pip", *replaced, "--target", str(target)], check=True)
    return target


def run_installed(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_wheel_carries_the_built_page_and_the_licences(installed: Path) -> None:
    page = (installed / "web_ui" / "dist" / "index.html").read_text()
    scripts = re.findall(r'src="\.?/?(assets/[^"]+\.js)"', page)
    assert scripts
    for script in scripts:
        assert (installed / "web_ui" / "dist" / script).stat().st_size > 10_000
    assert (installed / "web_ui" / "dist" / "licences.txt").exists()
    assert list(installed.glob("icemargin-*.dist-info/licenses/LICENSE"))


def test_the_installed_service_finds_its_page(installed: Path, tmp_path: Path) -> None:
    """Run outside of the checkout, so that nothing is found there by accident."""
    code = "import web_ui; print(web_ui.PAGE)"
    where = run_installed(installed, "-c", code, cwd=tmp_path)
    assert where.stdout.strip() == str(installed / "web_ui" / "dist")
    doctor = run_installed(installed, "-m", "monitor.cli", "doctor", cwd=tmp_path)
    assert "ok   Page: is built" in doctor.stdout, doctor.stdout + doctor.stderr


def test_the_wheel_has_the_command(installed: Path) -> None:
    (entry_points,) = installed.glob("icemargin-*.dist-info/entry_points.txt")
    assert "icemargin = monitor.cli:main" in entry_points.read_text()


def health(port: int) -> int:
    """Exit status of the health check's command."""
    _, _, command = only(stages()[1], "HEALTHCHECK").partition("CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"
    environment = {**os.environ, "ICEMARGIN__WEB__PORT": str(port)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, check=False
    ).returncode


class Healthy(BaseHTTPRequestHandler):
    """Alive at ``/healthz``, and nowhere else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        pass


def test_the_health_check_tells_alive_from_gone() -> None:
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert health(server.server_port) == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert health(server.server_port) != 0

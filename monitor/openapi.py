"""``python -m monitor.openapi``: the API's description, which the page's types are made from."""

import json
import sys
from typing import Any, cast

from monitor.api import make_app
from monitor.web_backend import WebBackend


def document() -> dict[str, Any]:
    """The OpenAPI document, the stream's messages included."""
    # The routes only keep the backend for when they are called; describing them needs none.
    return make_app(cast("WebBackend", None), page=None).openapi()


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")

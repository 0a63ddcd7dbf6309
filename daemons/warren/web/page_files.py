"""The page for people, and what the page loads."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

#: The media type of each file by its path.
PATHS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


async def page(request: Request) -> Response:
    """Answer with the page, its style or its script."""
    name, kind = PATHS[request.url.path]
    return Response(
        files("warren.web").joinpath("page", name).read_bytes(), headers={"Content-Type": kind}
    )

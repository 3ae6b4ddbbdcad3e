"""Browser files are served whatever the pack's folder is called."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("aiohttp", reason="comes with ComfyUI")
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from contrapposto.nodes import quoted_folder


def answers(pack, *paths):
    """Status codes of an app with only these routes."""

    async def ask():
        app, routes = web.Application(), web.RouteTableDef()
        quoted_folder.register_routes(routes, pack)
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            return [(await client.get(path)).status for path in paths]

    with ThreadPoolExecutor(1) as thread:  # tests in a browser leave their event loop in this one
        return thread.submit(lambda: asyncio.run(ask())).result()


@pytest.mark.parametrize("pack", ["ComfyUI Contrapposto", "contrapposto (2)", "姿勢", "a+b [x]"])
def test_files_of_a_quoted_folder(pack):
    web_file, template = f"/extensions/{pack}/js/views3d.mjs", f"/api/workflow_templates/{pack}/text_to_avatar.json"
    assert answers(pack, web_file, template, f"/extensions/{pack}/none.js", "/extensions/other/js/views3d.mjs") == [200, 200, 404, 404]


def test_nothing_outside_the_folder():
    assert answers("a b", "/extensions/a b/..%2fpyproject.toml", "/extensions/a b/js") == [404, 404]


@pytest.mark.parametrize("pack", ["ComfyUI-Contrapposto", "contrapposto.main", "{x} y"])
def test_no_route_where_none_is_needed_or_can_be(pack):
    routes = web.RouteTableDef()
    quoted_folder.register_routes(routes, pack)
    assert not list(routes)

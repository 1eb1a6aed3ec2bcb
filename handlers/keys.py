"""Typed keys under which the application and its requests keep things."""

from typing import Final

from aiohttp import web

from sse_push.service.node import Node

NODE: Final = web.AppKey("node", Node)
REQUEST_ID: Final = web.RequestKey("request_id", str)

"""Routes of workspace files: `workspace-files/import-file` and the `workspace/*` family."""

from __future__ import annotations

import asyncio
import base64
from binascii import Error as Base64Error
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from metamcp_deploy.local.answers import ApiError, answer, body, flag, invalid, missing, text
from metamcp_deploy.local.api.authorization import PATHS, Rights
from metamcp_deploy.local.files import Files

JSON_LIMIT = 10_485_760  # of content in a base64 JSON import or export
_CHUNK = 1 << 18


class FilesApi:
    """HTTP in front of Files; disk work runs in threads."""

    def __init__(self, files: Files, rights: Rights) -> None:
        self.files = files
        self.rights = rights

    def routes(self) -> list[web.RouteDef]:
        """All of the family."""
        return [
            web.post("/api/2.0/workspace-files/import-file/{path:.*}", self.import_file),
            web.post("/api/2.0/workspace/import", self.import_object),
            web.post("/api/2.0/workspace/mkdirs", self.mkdirs),
            web.post("/api/2.0/workspace/delete", self.delete),
            web.get("/api/2.0/workspace/get-status", self.get_status),
            web.get("/api/2.0/workspace/list", self.list),
            web.get("/api/2.0/workspace/export", self.export),
        ]

    async def import_file(self, request: web.Request) -> web.Response:
        """One file as it is. The path follows the route with each `/` as %2F; a conflict is 409 here."""
        raw = request.raw_path.partition("?")[0].partition("/import-file/")[2]
        incoming = await asyncio.to_thread(self.files.temporary)
        try:
            await _save(request.content, incoming)
            await asyncio.to_thread(
                self.files.put,
                "/" + unquote(raw).lstrip("/"),
                incoming,
                overwrite=flag(request.query.get("overwrite")),
                conflict_status=409,
            )
        finally:
            await asyncio.to_thread(incoming.unlink, missing_ok=True)
        return answer({})

    async def import_object(self, request: web.Request) -> web.Response:
        """`workspace/import`: a multipart form with the content as a file, or JSON with base64 content."""
        incoming = await asyncio.to_thread(self.files.temporary)
        try:
            fields = (
                await _multipart(request, incoming)
                if request.content_type == "multipart/form-data"
                else await _json(request, incoming)
            )
            path = _named(request, fields)
            # Here and not with the other calls: only now is a multipart form read.
            self.rights.demand(request["principal"], PATHS, path, "CAN_MANAGE")
            await asyncio.to_thread(
                self.files.put_as,
                path,
                incoming,
                fields.get("format") or "SOURCE",
                fields.get("language"),
                overwrite=flag(fields.get("overwrite")),
            )
        finally:
            await asyncio.to_thread(incoming.unlink, missing_ok=True)
        return answer({})

    async def mkdirs(self, request: web.Request) -> web.Response:
        """Makes a folder and its parents."""
        await asyncio.to_thread(self.files.mkdirs, _named(request, await body(request)))
        return answer({})

    async def delete(self, request: web.Request) -> web.Response:
        """Deletes a file, or a folder (`recursive` when it is not empty)."""
        data = await body(request)
        await asyncio.to_thread(
            self.files.delete, _named(request, data), recursive=flag(data.get("recursive"))
        )
        return answer({})

    async def get_status(self, request: web.Request) -> web.Response:
        """What is at a path."""
        path = _named(request, dict(request.query))
        return answer(await asyncio.to_thread(lambda: self.files.status(self.files.existing(path))))

    async def list(self, request: web.Request) -> web.Response:
        """What is in a folder; `objects` is left out when there is nothing, as the platform does."""
        found = await asyncio.to_thread(self.files.listing, _named(request, dict(request.query)))
        return answer({"objects": found} if found else {})

    async def export(self, request: web.Request) -> web.StreamResponse:
        """A file's content: raw with `direct_download`, else base64 in JSON up to 10 MB."""
        path = _named(request, dict(request.query))
        place = await asyncio.to_thread(self.files.existing, path)
        facts = await asyncio.to_thread(self.files.status, place)
        if facts["object_type"] == "DIRECTORY":
            raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not export folders.")
        if flag(request.query.get("direct_download")):
            raw = await asyncio.to_thread(place.read_bytes)
            return web.Response(body=raw, content_type="application/octet-stream")
        if facts.get("size", 0) > JSON_LIMIT:
            raise _too_large(facts["size"])
        content = await asyncio.to_thread(place.read_bytes)
        return answer({"content": base64.b64encode(content).decode(), "file_type": place.suffix.lstrip(".")})


def _named(request: web.Request, fields: dict[str, Any]) -> str:
    """The path that a request names; the record of requests shows it."""
    path: str = text(fields, "path")
    request["file"] = path
    return path


async def _save(content: Any, place: Path) -> None:
    out = await asyncio.to_thread(place.open, "wb")
    try:
        async for chunk in content.iter_chunked(_CHUNK):
            await asyncio.to_thread(out.write, chunk)
    finally:
        await asyncio.to_thread(out.close)


async def _multipart(request: web.Request, incoming: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    got_content = False
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid("Nested multipart content is not supported")
        if part.name == "content":
            got_content = True
            out = await asyncio.to_thread(incoming.open, "wb")
            try:
                while chunk := await part.read_chunk(_CHUNK):
                    await asyncio.to_thread(out.write, chunk)
            finally:
                await asyncio.to_thread(out.close)
        elif part.name:
            fields[part.name] = await part.text()
    if not got_content:
        raise missing("Missing required field: content")
    return fields


async def _json(request: web.Request, incoming: Path) -> dict[str, Any]:
    fields = await body(request)
    try:
        content = base64.b64decode(str(fields.get("content") or ""), validate=True)
    except Base64Error as e:
        raise invalid("content must be base64-encoded") from e
    if len(content) > JSON_LIMIT:
        raise _too_large(len(content))
    await asyncio.to_thread(incoming.write_bytes, content)
    return fields


def _too_large(size: int) -> ApiError:
    return ApiError(
        400,
        "MAX_NOTEBOOK_SIZE_EXCEEDED",
        f"File size imported is ({size} bytes), exceeded max size ({JSON_LIMIT} bytes)",
    )

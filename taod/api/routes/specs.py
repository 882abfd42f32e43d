"""Endpoints of specifications of models and datasets, and the formats of their bodies."""

from __future__ import annotations

from typing import Any, ClassVar

from litestar import Controller, Response, get, post, put

from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import WARNING_HEADER
from taod.api.request_parsing import SPEC_BYTES, read_bytes, read_object
from taod.api.responses import read, warned
from taod.errors import BadRequest
from taod.services import Services
from taod.services.jobs.spec_service import Saved
from taod.types.common import DATASET, MODEL, OwnerKind

Document = dict[str, Any]
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_TEXT = "text/plain"
FORMATS = (_YAML[0], _TEXT)
"""Media types of a body besides JSON."""


class SpecsController(Controller):
    """Specifications of the actions of one owner."""

    kind: ClassVar[OwnerKind]

    @get("/schema", summary="Retrieve Specs schema")
    async def get_schema(
        self, services: TheServices, user: TheUser, owner_id: PathText, action: PathText
    ) -> Response[Document]:
        """JSON Schema of the action's parameters; its `default` is a complete, valid specification."""
        return await read(services, user.id, services.specs.schema, user.id, self.kind, owner_id, action)

    @get(summary="Retrieve Specs")
    async def get_specs(
        self, services: TheServices, user: TheUser, owner_id: PathText, action: PathText
    ) -> Response[Document]:
        """The saved specification; 404 if none is saved."""
        return await read(services, user.id, services.specs.get, user.id, self.kind, owner_id, action)

    @post(summary="Save Specs", opt={"body": Document, "formats": FORMATS}, response_headers=WARNING_HEADER)
    async def post_specs(
        self, request: Call, services: TheServices, user: TheUser, owner_id: PathText, action: PathText
    ) -> Response[Document]:
        """Validate and save a specification; warnings are in `X-Taod-Warnings`."""
        document = await _read(request, services, (user.id, self.kind, owner_id, action))
        return _saved(await services.specs.post(user.id, self.kind, owner_id, action, document), 201)

    @put(summary="Update Specs", opt={"body": Document, "formats": FORMATS}, response_headers=WARNING_HEADER)
    async def put_specs(
        self, request: Call, services: TheServices, user: TheUser, owner_id: PathText, action: PathText
    ) -> Response[Document]:
        """Merge into the saved specification, validate and save the result."""
        changes = await _read(request, services, (user.id, self.kind, owner_id, action))
        return _saved(await services.specs.put(user.id, self.kind, owner_id, action, changes), 200)


class DatasetSpecsController(SpecsController):
    kind = DATASET
    path = "/api/v1/user/{user_id:str}/dataset/{owner_id:str}/specs/{action:str}"
    tags = ("DATASET",)


class ModelSpecsController(SpecsController):
    kind = MODEL
    path = "/api/v1/user/{user_id:str}/model/{owner_id:str}/specs/{action:str}"
    tags = ("MODEL",)


def _saved(saved: Saved, status: int) -> Response[Document]:
    """The stored document; warnings are in a header."""
    return Response(saved.document, status_code=status, headers=warned(saved.warnings))


async def _read(request: Call, services: Services, owner: tuple[str, OwnerKind, str, str]) -> Document:
    """Parse the specification in the body. `owner`: user, kind, id and action, which determine the tool.

    The format depends on the Content-Type: YAML, or for `text/plain` the tool's own format (protobuf text for TF1).
    A JSON object is read as JSON with any Content-Type. Raises BadRequest.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (*_YAML, _TEXT):
        return await read_object(request, SPEC_BYTES)
    raw = await read_bytes(request, SPEC_BYTES)
    if raw.lstrip().startswith(b"{"):
        try:
            return await read_object(request, SPEC_BYTES)
        except BadRequest:
            pass  # A flow mapping of YAML starts like this too.
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 text: {error.reason} at byte {error.start}") from error
    return await services.specs.read(*owner, text, "yaml" if content_type in _YAML else None)

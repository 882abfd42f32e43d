"""Endpoints of models and of pretrained models."""

from __future__ import annotations

from litestar import Controller, Response, delete, get, patch, post, put

from store.records import ResourceFilter
from taod.api import query
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import BAD_REQUEST, CONFLICT
from taod.api.request_parsing import read_body
from taod.api.responses import read, read_stored
from taod.types.common import Sort
from taod.types.model import Model, ModelCreate, ModelPatch, Ptm, PtmCreate
from taod.types.network import NetworkArch
from taod.types.release_change import ReleaseChange, ReleaseMove


class ModelController(Controller):
    """Models of one user, with the public and the pretrained ones."""

    path = "/api/v1/user/{user_id:str}/model"
    tags = ("MODEL",)

    @get(summary="List Models", opt={"query": ("skip", "size", "sort", "name", "arch", "read_only")})
    async def list_models(self, request: Call, services: TheServices, user: TheUser) -> Response[list[Model]]:
        """The user's models and public ones with their jobs, then pretrained ones; `X-Total-Count` has the length."""
        wanted = ResourceFilter(
            name=query.text(request, "name"),
            arch=query.choice(request, "arch", NetworkArch),
            read_only=query.flag(request, "read_only"),
        )
        sort = query.choice(request, "sort", Sort) or Sort.DATE_DESCENDING
        return await read_stored(services, user.id, services.models.page, user.id, wanted, sort, query.page(request))

    @post(summary="Create new Model", opt={"body": ModelCreate, "needs": ("network_arch",)})
    async def create_model(self, request: Call, services: TheServices, user: TheUser) -> Model:
        """Create a model; its datasets and pretrained models must be readable by the user and fit the network."""
        return services.models.create(user.id, await read_body(request, ModelCreate, answer=Model))

    @get("/{model_id:str}", summary="Retrieve Model")
    async def get_model(self, services: TheServices, user: TheUser, model_id: PathText) -> Response[Model]:
        """One model with its jobs; another user's public model comes without its key and ids of private objects."""
        return await read_stored(services, user.id, services.models.get, user.id, model_id)

    @put("/{model_id:str}", summary="Update Model", opt={"body": ModelCreate})
    async def put_model(
        self, request: Call, services: TheServices, user: TheUser, model_id: PathText
    ) -> Response[Model]:
        """Replace the writable fields, absent ones by their defaults; network_arch cannot be changed."""
        services.models.record(user.id, model_id)
        services.models.update(user.id, model_id, await read_body(request, ModelCreate, answer=Model))
        return await read_stored(services, user.id, services.models.get, user.id, model_id)

    @patch("/{model_id:str}", summary="Partial update Model", opt={"body": ModelPatch})
    async def patch_model(
        self, request: Call, services: TheServices, user: TheUser, model_id: PathText
    ) -> Response[Model]:
        """Set the given fields; a read-only model accepts only `read_only=false`."""
        services.models.record(user.id, model_id)
        services.models.update(user.id, model_id, await read_body(request, ModelPatch, answer=Model))
        return await read_stored(services, user.id, services.models.get, user.id, model_id)

    @delete("/{model_id:str}", summary="Delete Model", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def delete_model(self, services: TheServices, user: TheUser, model_id: PathText) -> Response[Model]:
        """Cancel the model's jobs and delete it with their files; rejected while it is public or read-only."""
        model = await read_stored(services, user.id, services.models.get, user.id, model_id)
        await services.models.delete(user.id, model_id)
        return model

    @get("/{model_id:str}/release", summary="What a move to another release changes", opt={"query": ("to",)})
    async def preview_release(
        self, request: Call, services: TheServices, user: TheUser, model_id: PathText
    ) -> Response[ReleaseChange]:
        """The parameters of its specifications that are renamed, moved, removed or new; nothing is stored."""
        wanted = query.text(request, "to")
        if wanted is None:
            wanted = services.models.record(user.id, model_id).release
        return await read(services, user.id, services.model_releases.preview, user.id, model_id, wanted)

    @post(
        "/{model_id:str}/release",
        summary="Move a model to another release",
        opt={"body": ReleaseMove},
        responses=CONFLICT,
        status_code=200,
    )
    async def move_release(
        self, request: Call, services: TheServices, user: TheUser, model_id: PathText
    ) -> ReleaseChange:
        """Convert its saved specifications; 409 while its jobs run, or for checkpoints that are not abandoned."""
        services.models.owned_record(user.id, model_id)
        body = await read_body(request, ReleaseMove, answer=ReleaseChange)
        return await services.model_releases.move(user.id, model_id, body)


class PtmController(Controller):
    """Pretrained models."""

    path = "/api/v1/user/{user_id:str}/ptm"
    tags = ("PTM",)

    @get(summary="List pretrained models", opt={"query": ("arch", "network_arch")})
    async def list_ptms(self, request: Call, services: TheServices, user: TheUser) -> list[Ptm]:
        """The catalogue's entries and the user's own ones, with the path of weights that this user registered."""
        arch = query.choice(request, "arch", NetworkArch)
        same = query.choice(request, "network_arch", NetworkArch)
        return services.ptms.all(user.id, arch or same)

    @post(summary="Register weights on this machine", opt={"body": PtmCreate})
    async def register_ptm(self, request: Call, services: TheServices, user: TheUser) -> Ptm:
        """Use weights of this machine in place, for a catalogue entry or a new one; only this user sees them."""
        return services.ptms.register(user.id, await read_body(request, PtmCreate, answer=Ptm))

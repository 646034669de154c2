"""A Prefect server that is a few dictionaries, with the client's methods that the set-up calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound

WORKERS = {
    "prefect-docker": {
        "docker": {
            "type": "docker",
            "default_base_job_configuration": {
                "job_configuration": {"env": "{{ env }}", "image": "{{ image }}"},
                "variables": {"properties": {"env": {"type": "object"}, "image": {}}},
            },
        }
    }
}


def missing() -> ObjectNotFound:
    return ObjectNotFound(httpx.HTTPError("404"))


class FakePrefect:
    """What was made is kept; `calls` names what changed something."""

    def __init__(self) -> None:
        self.pools: dict[str, Any] = {}
        self.deployments: dict[str, Any] = {}
        self.automations: list[Automation] = []
        self.flows: dict[UUID, str] = {}
        self.calls: list[str] = []

    def read_work_pool(self, name: str) -> Any:
        if name not in self.pools:
            raise missing()
        return self.pools[name]

    def create_work_pool(self, work_pool: WorkPoolCreate) -> None:
        self.calls.append(f"create pool {work_pool.name}")
        self.pools[work_pool.name] = work_pool

    def update_work_pool(self, name: str, work_pool: WorkPoolUpdate) -> None:
        self.calls.append(f"update pool {name}")
        changes = work_pool.model_dump(exclude_unset=True)
        self.pools[name] = self.pools[name].model_copy(update=changes)

    def request(self, method: str, path: str, **more: Any) -> Any:
        assert (method, path) == ("GET", "/collections/views/{view}")
        return SimpleNamespace(json=lambda: WORKERS)

    def create_flow_from_name(self, name: str) -> UUID:
        identity = uuid4()
        self.flows[identity] = name
        return identity

    def create_deployment(self, flow_id: UUID, name: str, **fields: Any) -> None:
        full_name = f"{self.flows[flow_id]}/{name}"
        self.calls.append(f"create deployment {full_name}")
        limit = fields.pop("concurrency_limit")
        fields["global_concurrency_limit"] = limit and SimpleNamespace(limit=limit)
        self.deployments[full_name] = SimpleNamespace(id=full_name, **fields)

    def read_deployment_by_name(self, name: str) -> Any:
        if name not in self.deployments:
            raise missing()
        return self.deployments[name]

    def update_deployment(self, deployment_id: str, deployment: DeploymentUpdate) -> None:
        fields = deployment.model_dump(exclude_unset=True)
        self.calls.append(f"update deployment {deployment_id}: {' '.join(sorted(fields))}")
        found = self.deployments[deployment_id]
        for field in fields:
            setattr(found, field, getattr(deployment, field))

    def read_automations_by_name(self, name: str) -> list[Automation]:
        return [each for each in self.automations if each.name == name]

    def create_automation(self, automation: AutomationCore) -> None:
        self.calls.append("create automation")
        # Over the wire sets become lists, and back.
        document = automation.model_dump(mode="json")
        self.automations.append(Automation.model_validate({**document, "id": uuid4()}))

    def update_automation(self, automation_id: UUID, automation: AutomationCore) -> None:
        self.calls.append("update automation")
        document = automation.model_dump(mode="json")
        self.automations = [Automation.model_validate({**document, "id": automation_id})]

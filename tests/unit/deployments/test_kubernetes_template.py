"""Our Kubernetes template asks for what jobs with accelerators need, and for nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from prefect.utilities.templating import apply_values

from deployments.prefect.pools import Pool
from deployments.prefect.templates import kubernetes_template, with_defaults

OF_THE_WORKER = {"command", "env", "labels", "name"}
"""Variables that the worker fills in itself."""


def pod(role: str = "cpu", **values: Any) -> dict[str, Any]:
    """The pod of a job with these job variables, as Prefect renders it."""
    template = with_defaults(kubernetes_template(), Pool(role, "pool", type="kubernetes"))
    variables = template["variables"]["properties"]
    jsonschema.validate(values, template["variables"])
    defaults = {key: each["default"] for key, each in variables.items() if "default" in each}
    rendered = apply_values(template["job_configuration"], {**defaults, **values})
    manifest: dict[str, Any] = rendered["job_manifest"]
    assert manifest["kind"] == "Job"
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def test_the_schema_of_its_variables_is_one_and_its_defaults_fit_it() -> None:
    template = with_defaults(kubernetes_template(), Pool("train", "pool", type="kubernetes"))
    schema = template["variables"]
    jsonschema.Draft202012Validator.check_schema(schema)
    defaults = {
        key: each["default"] for key, each in schema["properties"].items() if "default" in each
    }
    assert {"gpus", "tolerations", "shared_memory", "env"} <= set(defaults)
    jsonschema.validate(defaults, schema)


def test_every_placeholder_is_a_variable_and_every_variable_has_a_place() -> None:
    template = kubernetes_template()
    text = json.dumps(template["job_configuration"])
    places = set(re.findall(r"\{\{ (\w+) \}\}", text))
    assert places == set(template["variables"]["properties"])
    assert places > OF_THE_WORKER


@pytest.mark.parametrize("gpus", [1, 8])
def test_a_job_gets_its_accelerators_on_the_nodes_that_were_named(gpus: int) -> None:
    made = pod(
        "train",
        gpus=gpus,
        node_selector={"pool": "h100"},
        shared_memory="64Gi",
        image="evolvesearch:cuda",
    )
    [container] = made["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": gpus}
    assert container["image"] == "evolvesearch:cuda"
    assert made["nodeSelector"] == {"pool": "h100"}
    assert made["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert made["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Gi"}
    assert container["volumeMounts"][0]["mountPath"] == "/dev/shm"
    assert made["restartPolicy"] == "Never"


def test_light_work_asks_for_no_accelerator() -> None:
    made = pod("cpu")
    assert "tolerations" not in made
    assert "nodeSelector" not in made
    assert not made["containers"][0]["resources"]["limits"]


def test_sampling_and_training_get_one_accelerator_where_nothing_is_said() -> None:
    for role in ("rollout", "train"):
        assert pod(role)["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 1}


@pytest.mark.parametrize(
    "values", [{"gpus": -1}, {"gpus": "two"}, {"tolerations": {"key": "x"}}, {"node_selector": []}]
)
def test_job_variables_of_a_wrong_kind_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        pod("train", **values)

"""What systemd, Docker and Kubernetes read is what they can read, and names what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
UNITS = {
    "evolvesearch-server.service": "evolvesearch-server.service",
    "evolvesearch-worker@.service": "evolvesearch-worker@train.service",
}


def documents(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "deployments/kubernetes" / name).read_text("utf-8")
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = (ROOT / "deployments/systemd" / unit).read_text("utf-8")
    # The installation is not there, and neither is its server's unit.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    file = tmp_path / UNITS[unit]
    file.write_text(text, "utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "evolvesearch" in line]
    assert (done.returncode, ours) == (0, [])


def test_an_image_holds_all_packages_and_is_sent_nothing_else() -> None:
    dockerfile = (ROOT / "deployments/docker/Dockerfile").read_text("utf-8")
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    packages = {"agents", "deployments", "evaluation", "flows", "tasks", "training"}
    for target in ("cpu", "cuda"):
        stage = dockerfile.split(f" AS {target}\n")[1].split("\nFROM ")[0]
        copied = set(re.findall(r"^COPY (\w+) \1$", stage, re.MULTILINE))
        assert copied == packages
    [files] = re.findall(r"^COPY (.*) \./$", dockerfile, re.MULTILINE)
    assert sent == packages | set(files.split())
    assert all((ROOT / name).exists() for name in sent)


def test_services_wait_for_what_they_need() -> None:
    services = yaml.safe_load((ROOT / "deployments/docker/compose.yaml").read_text("utf-8"))[
        "services"
    ]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    for name in ("worker-control", "worker-cpu", "worker-gpu"):
        assert "deploy" in services[name]["depends_on"]
    assert services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]


def test_passwords_of_the_compose_file_are_asked_for_and_not_set() -> None:
    text = (ROOT / "deployments/docker/compose.yaml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    example = (ROOT / "deployments/docker/example.env").read_text("utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert not re.search(r"PASSWORD=\S", example)


def test_further_machines_find_the_first_by_the_label_of_its_pool() -> None:
    by_name = {each["metadata"]["name"]: each for each in documents("training-machines.yaml")}
    service = by_name["evolvesearch-machine-0"]
    assert service["spec"]["selector"] == {"evolvesearch.io/role": "train"}
    machines = by_name["evolvesearch-machines"]["spec"]
    assert machines["ordinals"]["start"] == 1
    [container] = machines["template"]["spec"]["containers"]
    assert "training.launch.join /shared/ranks" in container["command"][-1]
    template = (ROOT / "deployments/kubernetes/base-job-template.json").read_text("utf-8")
    assert '"mountPath": "/shared"' in template
